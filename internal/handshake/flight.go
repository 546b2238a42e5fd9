package handshake

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// noRepetition is for flights that the peer cannot show to have missed; a
// HelloRequest never gets that far.
const noRepetition = handshake.TypeHelloRequest

// outMessage is a message of a flight, or a ChangeCipherSpec.
type outMessage struct {
	typ              handshake.Type
	changeCipherSpec bool
	seq              uint16
	epoch            uint16
	body             []byte
}

// plaintextWriter numbers the records of epoch 0.
type plaintextWriter struct {
	next uint64
}

func (w *plaintextWriter) append(dst []byte, typ record.ContentType, version uint16, fragment []byte) []byte {
	dst = record.AppendPlaintext(dst, typ, version, w.next, fragment)
	w.next++
	return dst
}

// pack turns messages into datagrams of at most mtu bytes: as few as possible,
// each message in records of its own, fragmented where it must be (RFC 6347 4.2.3).
func pack(messages []outMessage, mtu int, version uint16, plain *plaintextWriter, sealer *record.Sealer) ([][]byte, error) {
	const smallest = 32 // bytes of a body that are worth a record at a datagram's end
	total := 0
	for i := range messages {
		total += record.HeaderSize + handshake.HeaderLength + len(messages[i].body)
		if messages[i].epoch > 0 {
			total += sealer.Overhead()
		}
	}
	datagrams := make([][]byte, 0, 1+total/mtu)
	current := make([]byte, 0, min(total, mtu))
	flush := func() {
		if len(current) > 0 {
			datagrams = append(datagrams, current)
			current = make([]byte, 0, mtu)
		}
	}
	var fragment [512]byte // enough for most
	scratch := fragment[:0]
	for i := range messages {
		m := &messages[i]
		if m.changeCipherSpec {
			if len(current)+record.HeaderSize+1 > mtu {
				flush()
			}
			current = plain.append(current, record.TypeChangeCipherSpec, version, changeCipherSpec)
			continue
		}
		overhead := record.HeaderSize + handshake.HeaderLength
		if m.epoch > 0 {
			overhead = sealer.Overhead() + handshake.HeaderLength
		}
		for offset := 0; ; {
			left := len(m.body) - offset
			room := mtu - len(current) - overhead
			if room < min(left, smallest) || room < 0 {
				flush()
				room = max(mtu-overhead, smallest)
			}
			n := min(left, room)
			scratch = appendFragment(scratch[:0], m, offset, n)
			if m.epoch == 0 {
				current = plain.append(current, record.TypeHandshake, version, scratch)
			} else {
				var err error
				if current, err = sealer.SealBytes(current, record.TypeHandshake, scratch); err != nil {
					return nil, err
				}
			}
			if offset += n; offset == len(m.body) {
				break
			}
		}
	}
	if len(current) > 0 {
		datagrams = append(datagrams, current)
	}
	return datagrams, nil
}

var changeCipherSpec = []byte{1}

func appendFragment(dst []byte, m *outMessage, offset, n int) []byte {
	dst = appendHeader(dst, m.typ, len(m.body), m.seq, offset, n)
	return append(dst, m.body[offset:offset+n]...)
}

func appendHeader(dst []byte, typ handshake.Type, length int, seq uint16, offset, n int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(typ)<<24|uint32(length))
	dst = binary.BigEndian.AppendUint16(dst, seq)
	dst = append(dst, byte(offset>>16), byte(offset>>8), byte(offset))
	return append(dst, byte(n>>16), byte(n>>8), byte(n))
}

// outbound holds the flight that was sent last and its retransmission timer
// (RFC 6347 4.2.4).
type outbound struct {
	messageSeq uint16 // of the next new message
	plain      plaintextWriter
	sealer     *record.Sealer // epoch 1; nil until the keys are known
	usesEpoch1 bool           // a ChangeCipherSpec is on its way: alerts are sealed
	version    uint16         // in the record headers of epoch 0
	mtu        int            // bytes of a datagram; shrinks when a flight does not get through

	flight     []outMessage
	repeatedBy handshake.Type // a message of the peer that shows that it missed the flight
	sent       time.Time      // when the flight was last sent
	sends      int            // how often it was
	interval   time.Duration
	deadline   time.Time // when it is sent again; zero: the timer is off

	queue [][]byte // datagrams for the driver
}

// start begins a flight; messages are added until send.
func (o *outbound) start(repeatedBy handshake.Type) {
	if o.flight == nil {
		o.flight = make([]outMessage, 0, 6) // the most that a flight has
	}
	o.flight = o.flight[:0]
	o.sends, o.interval, o.repeatedBy = 0, initialTimeout, repeatedBy
}

func (o *outbound) add(typ handshake.Type, epoch uint16, body []byte) outMessage {
	m := outMessage{typ: typ, seq: o.messageSeq, epoch: epoch, body: body}
	o.messageSeq++
	o.flight = append(o.flight, m)
	return m
}

func (o *outbound) addChangeCipherSpec() {
	o.flight = append(o.flight, outMessage{changeCipherSpec: true})
}

// send puts the flight, for the first time or again, into the queue.
func (o *outbound) send(now time.Time) error {
	if o.sends >= sendsUntilSmall {
		o.mtu = min(o.mtu, smallMTU)
	}
	mtu := o.mtu
	if len(o.flight) == 1 && o.flight[0].typ == handshake.TypeClientHello {
		// A server that keeps nothing before the cookie cannot put a hello together.
		mtu = max(mtu, record.HeaderSize+handshake.HeaderLength+len(o.flight[0].body))
	}
	datagrams, err := pack(o.flight, mtu, o.version, &o.plain, o.sealer)
	if err != nil {
		return err
	}
	if o.queue == nil {
		o.queue = datagrams
	} else {
		o.queue = append(o.queue, datagrams...)
	}
	o.sent = now
	o.sends++
	o.deadline = now.Add(o.interval)
	return nil
}

// repeat sends the flight again since the peer's repetition shows that it missed
// it, but not twice within a short time: a flight may come in several datagrams,
// and the network may double them. Nor does it do so for ever, since anybody may
// forge a repetition: after maxSends only the timer counts.
func (o *outbound) repeat(now time.Time) error {
	if len(o.flight) == 0 || o.sends >= maxSends || now.Sub(o.sent) < repetitionPause {
		return nil
	}
	return o.send(now)
}

// LastFlight is the end of a handshake, kept for a peer that shows that it
// missed it (RFC 6347 4.2.4). It belongs to whoever owns the Sealer.
type LastFlight struct {
	messages []outMessage
	plain    plaintextWriter
}

// last keeps the flight that was sent last.
func (o *outbound) last() *LastFlight {
	return &LastFlight{messages: slices.Clone(o.flight), plain: o.plain}
}

// Datagrams seals the flight anew.
func (f *LastFlight) Datagrams(sealer *record.Sealer) ([][]byte, error) {
	return pack(f.messages, smallMTU, record.VersionDTLS12, &f.plain, sealer)
}
