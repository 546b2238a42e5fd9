package datagram

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

func isErrno(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// codeOfErrno returns the code of the Winsock error in err, FAILED if it has
// none of its own.
func codeOfErrno(err error) IOErrorCode {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return CodeFailed
	}
	switch errno {
	case windows.WSAEWOULDBLOCK:
		return CodeWouldBlock
	case windows.WSAEINVAL, windows.WSAEAFNOSUPPORT:
		return CodeInvalidArgument
	case windows.WSAEOPNOTSUPP, windows.WSAEPROTONOSUPPORT:
		return CodeNotSupported
	case windows.WSAETIMEDOUT:
		return CodeTimedOut
	case windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN:
		return CodeHostUnreachable
	case windows.WSAENETUNREACH, windows.WSAENETDOWN:
		return CodeNetworkUnreachable
	case windows.WSAECONNREFUSED, windows.WSAECONNRESET:
		// For a datagram socket Winsock reports an ICMP "port unreachable" as a
		// reset connection.
		return CodeConnectionRefused
	case windows.WSAENOTCONN, windows.WSAEDESTADDRREQ:
		return CodeNotConnected
	case windows.WSAEMSGSIZE:
		return CodeMessageTooLarge
	}
	return CodeFailed
}
