//go:build unix

package datagram

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The system's errors get the codes that Gio gives them (g_io_error_from_errno),
// also from inside a net.OpError, and stay findable.
func TestErrno(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.EAGAIN:          ErrWouldBlock,
		unix.EINVAL:          ErrInvalidArgument,
		unix.EAFNOSUPPORT:    ErrInvalidArgument,
		unix.EOPNOTSUPP:      ErrNotSupported,
		unix.ECANCELED:       ErrCancelled,
		unix.ETIMEDOUT:       ErrTimedOut,
		unix.EHOSTUNREACH:    ErrHostUnreachable,
		unix.ENETUNREACH:     ErrNetworkUnreachable,
		unix.ECONNREFUSED:    ErrConnectionRefused,
		unix.EPIPE:           ErrConnectionClosed,
		unix.ECONNRESET:      ErrConnectionClosed,
		unix.ENOTCONN:        ErrNotConnected,
		unix.EDESTADDRREQ:    ErrNotConnected,
		unix.EMSGSIZE:        ErrMessageTooLarge,
		unix.EACCES:          ErrFailed,
		unix.EPROTONOSUPPORT: ErrNotSupported,
	} {
		cause := &net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", errno)}
		err := ErrorFromSystem(cause, "sending")
		if !errors.Is(err, want) || !errors.Is(err, errno) || !strings.Contains(err.Error(), errno.Error()) {
			t.Errorf("%v became %v", errno, err)
		}
	}
}
