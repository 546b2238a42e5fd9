package datagram

import (
	"context"
	"time"
)

// MaxMessages is the largest number of messages that one call moves (G017,
// G024; the kernel's UIO_MAXIOV). A longer slice is legal: the call moves at
// most this many, and the caller calls again for the rest.
const MaxMessages = 1024

// MaxVectors is the largest number of buffers one message may have.
const MaxVectors = 1024

// MaxDatagram is the largest datagram, in bytes, that Pipe and Impaired carry:
// the longest that UDP's length field can express.
const MaxDatagram = 65535

// DatagramBased moves datagrams. It is GDatagramBased (G001-G047): a socket, a
// pipe in memory and a DTLS connection all have these five methods, so one can
// stand upon another.
//
// A timeout has three meanings (G002): negative blocks without limit, 0 never
// blocks, positive blocks at most so long for the whole call, however many
// messages it moves.
//
// One reader and one writer may always work at the same time. The package
// documentation says what else may.
type DatagramBased interface {
	// ReceiveMessages fills the messages with datagrams, one in each, and
	// returns how many it filled (g_datagram_based_receive_messages, G009).
	//
	// With a timeout that is not 0 it waits for all of them (G010, G012), or
	// with MsgWaitForOne for one, and then takes what else is there. With 0 it
	// takes what is there (G011).
	//
	// It returns an error only if no message was received (G013): CANCELLED
	// when ctx is done, TIMED_OUT when a positive timeout ran out (G012),
	// WOULD_BLOCK when nothing was there and the timeout is 0 (G011), CLOSED
	// after a local close (G016), or what the transport reports. When the peer
	// has closed, what is queued still arrives, and then every call returns 0
	// and no error (G015). No messages to fill is no error: 0, nil.
	//
	// Of each message received it sets BytesReceived, Flags and Address. A
	// datagram longer than the vectors fills them, sets MsgTrunc and is gone.
	ReceiveMessages(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error)

	// SendMessages sends the messages, each as one datagram, and returns how
	// many it sent (g_datagram_based_send_messages, G020). With a timeout that
	// is not 0 it waits until all are sent (G021, G023), with 0 it sends what
	// fits now (G022).
	//
	// It returns an error only if no message was sent (G024), with the codes of
	// ReceiveMessages, and MESSAGE_TOO_LARGE, NOT_CONNECTED and the network's
	// own. Of each message sent it sets BytesSent. A message without bytes is
	// sent as an empty datagram.
	SendMessages(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error)

	// CreateSource returns a source that watches the condition
	// (g_datagram_based_create_source, G026). It does nothing before its Attach
	// or C is called. When ctx is done it triggers once (G029).
	CreateSource(ctx context.Context, condition IOCondition) *Source

	// ConditionCheck returns which of the conditions are true now, and Err and
	// Hup if they are, asked for or not (g_datagram_based_condition_check,
	// G031-G035). It never blocks.
	ConditionCheck(condition IOCondition) IOCondition

	// ConditionWait waits until ConditionCheck would return something
	// (g_datagram_based_condition_wait, G036). Its error is TIMED_OUT, also
	// when timeout is 0, or CANCELLED.
	ConditionWait(ctx context.Context, condition IOCondition, timeout time.Duration) error
}

// InputMessage is a place for one received datagram (GInputMessage, G043). The
// caller sets Vectors, a call that receives the message sets the rest.
type InputMessage struct {
	// Vectors are filled in order (GInputVector, G042).
	Vectors [][]byte
	// BytesReceived is how many bytes were put into the vectors; 0 for an empty
	// datagram.
	BytesReceived int
	// Flags are the message's own flags, of which MsgTrunc matters.
	Flags MsgFlags
	// Address is the sender, zero where the transport knows none.
	Address Address
}

// OutputMessage is one datagram to send (GOutputMessage, G045).
type OutputMessage struct {
	// Address is the destination, zero for the one that the transport is
	// connected to.
	Address Address
	// Vectors are sent in order as one datagram (GOutputVector, G044).
	Vectors [][]byte
	// BytesSent is how many bytes of the message were sent; set by the call.
	BytesSent int
}

// MsgFlags are flags of a call or of a message (GSocketMsgFlags, G046), with
// the platform's own values. Those without a name here go to the socket as they
// are; Pipe and Impaired refuse them.
type MsgFlags int

// The flags with a name. MsgTrunc and MsgWaitForOne are declared beside the
// platform's values.
const (
	MsgNone      MsgFlags = 0
	MsgOOB       MsgFlags = 1 // out-of-band data
	MsgPeek      MsgFlags = 2 // look at the next message and leave it queued; moves one message a call
	MsgDontRoute MsgFlags = 4 // send to directly connected hosts only

	// MsgWaitForOne makes a blocking receive wait for one message and then take
	// what else is there, instead of waiting for all. It has Linux's value and
	// works the same on every platform and every implementation.
	MsgWaitForOne MsgFlags = 0x10000
)

// needed returns how many of n messages a receive with these flags and this
// timeout waits for.
func needed(n int, flags MsgFlags, timeout time.Duration) int {
	switch {
	case timeout == 0:
		return 0
	case flags&(MsgWaitForOne|MsgPeek) != 0:
		return min(n, 1)
	}
	return n
}

// bound clips a batch to what one call moves: MaxMessages, and one when peeking,
// since every look sees the same datagram.
func bound(messages []InputMessage, flags MsgFlags) []InputMessage {
	if flags&MsgPeek != 0 && len(messages) > 1 {
		return messages[:1]
	}
	return messages[:min(len(messages), MaxMessages)]
}

// deadlineOf returns the time at which a call that begins now ends, zero for
// one without limit.
func deadlineOf(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// size returns the number of bytes in the vectors.
func size(vectors [][]byte) int {
	n := 0
	for _, v := range vectors {
		n += len(v)
	}
	return n
}

// gather copies the vectors into dst, which is long enough, and returns how many
// bytes these were.
func gather(dst []byte, vectors [][]byte) int {
	n := 0
	for _, v := range vectors {
		n += copy(dst[n:], v)
	}
	return n
}

// deliver puts a datagram into a message.
func deliver(m *InputMessage, data []byte, from Address) {
	n := 0
	for _, v := range m.Vectors {
		if n == len(data) {
			break
		}
		n += copy(v, data[n:])
	}
	m.BytesReceived, m.Flags, m.Address = n, MsgNone, from
	if n < len(data) {
		m.Flags = MsgTrunc
	}
}
