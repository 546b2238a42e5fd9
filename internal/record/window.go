package record

// windowWords is the length of the replay window in words of 64 bits. RFC 6347
// asks for at least 32 records and advises 64. A batch of segmented datagrams
// holds up to 64 records, and on a path that reorders, several batches overtake
// each other; 256 bits hold that and cost 24 bytes more than 64 do.
const windowWords = 4

// ReplayWindow remembers which sequence numbers were received (RFC 6347
// section 4.1.2.6). It reaches at least 192 numbers behind the highest one, and
// takes every number below that for received. The zero value has received
// nothing. It is not safe for concurrent use.
//
// The words are a ring, cleared a word at a time as the window moves on, so
// that no bit is ever shifted (the scheme of RFC 6479).
type ReplayWindow struct {
	highest uint64
	seen    [windowWords]uint64
}

// Check reports whether the number is new: neither marked nor too old.
func (w *ReplayWindow) Check(sequence uint64) bool {
	word := sequence >> 6
	if sequence <= w.highest && w.highest>>6-word >= windowWords {
		return false
	}
	return sequence > w.highest || w.seen[word%windowWords]&(1<<(sequence&63)) == 0
}

// Mark remembers the number as received and moves the window up to it. A
// number that is too old changes nothing.
func (w *ReplayWindow) Mark(sequence uint64) {
	word, top := sequence>>6, w.highest>>6
	switch {
	case sequence > w.highest:
		for i := range min(word-top, windowWords) {
			w.seen[(top+1+i)%windowWords] = 0
		}
		w.highest = sequence
	case top-word >= windowWords:
		return
	}
	w.seen[word%windowWords] |= 1 << (sequence & 63)
}
