//go:build unix

package datagram

import (
	"errors"

	"golang.org/x/sys/unix"
)

func isErrno(err error) bool {
	_, ok := errors.AsType[unix.Errno](err)
	return ok
}

// codeOfErrno returns the code of the errno in err, FAILED if it has none of
// its own.
func codeOfErrno(err error) IOErrorCode {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return CodeFailed
	}
	switch errno {
	case unix.EAGAIN:
		return CodeWouldBlock
	case unix.EINVAL, unix.EAFNOSUPPORT:
		return CodeInvalidArgument
	case unix.EOPNOTSUPP, unix.EPROTONOSUPPORT:
		return CodeNotSupported
	case unix.ECANCELED:
		return CodeCancelled
	case unix.ETIMEDOUT:
		return CodeTimedOut
	case unix.EHOSTUNREACH, unix.EHOSTDOWN:
		return CodeHostUnreachable
	case unix.ENETUNREACH, unix.ENETDOWN:
		return CodeNetworkUnreachable
	case unix.ECONNREFUSED:
		return CodeConnectionRefused
	case unix.EPIPE, unix.ECONNRESET:
		return CodeConnectionClosed
	case unix.ENOTCONN, unix.EDESTADDRREQ:
		return CodeNotConnected
	case unix.EMSGSIZE:
		return CodeMessageTooLarge
	}
	return CodeFailed
}
