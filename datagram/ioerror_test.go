package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
)

// Each code has Gio's name and number (G186), and its sentinel.
func TestCodes(t *testing.T) {
	for _, want := range []struct {
		code     IOErrorCode
		sentinel error
		number   int
		name     string
	}{
		{CodeFailed, ErrFailed, 0, "G_IO_ERROR_FAILED"},
		{CodeInvalidArgument, ErrInvalidArgument, 13, "G_IO_ERROR_INVALID_ARGUMENT"},
		{CodeNotSupported, ErrNotSupported, 15, "G_IO_ERROR_NOT_SUPPORTED"},
		{CodeClosed, ErrClosed, 18, "G_IO_ERROR_CLOSED"},
		{CodeCancelled, ErrCancelled, 19, "G_IO_ERROR_CANCELLED"},
		{CodePending, ErrPending, 20, "G_IO_ERROR_PENDING"},
		{CodeTimedOut, ErrTimedOut, 24, "G_IO_ERROR_TIMED_OUT"},
		{CodeWouldBlock, ErrWouldBlock, 27, "G_IO_ERROR_WOULD_BLOCK"},
		{CodeNotInitialized, ErrNotInitialized, 32, "G_IO_ERROR_NOT_INITIALIZED"},
		{CodeHostUnreachable, ErrHostUnreachable, 37, "G_IO_ERROR_HOST_UNREACHABLE"},
		{CodeNetworkUnreachable, ErrNetworkUnreachable, 38, "G_IO_ERROR_NETWORK_UNREACHABLE"},
		{CodeConnectionRefused, ErrConnectionRefused, 39, "G_IO_ERROR_CONNECTION_REFUSED"},
		{CodeConnectionClosed, ErrConnectionClosed, 44, "G_IO_ERROR_CONNECTION_CLOSED"},
		{CodeConnectionClosed, ErrBrokenPipe, 44, "G_IO_ERROR_CONNECTION_CLOSED"},
		{CodeNotConnected, ErrNotConnected, 45, "G_IO_ERROR_NOT_CONNECTED"},
		{CodeMessageTooLarge, ErrMessageTooLarge, 46, "G_IO_ERROR_MESSAGE_TOO_LARGE"},
	} {
		if int(want.code) != want.number || want.code.String() != want.name {
			t.Errorf("%v has number %d, it should be %s with %d", want.code, want.code, want.name, want.number)
		}
		if err := NewError(want.code, "x"); !errors.Is(err, want.sentinel) {
			t.Errorf("%v is not its sentinel", want.code)
		}
		if want.sentinel != ErrFailed && errors.Is(want.sentinel, ErrFailed) {
			t.Errorf("%v is FAILED", want.code)
		}
	}
	if s := IOErrorCode(99).String(); s != "G_IO_ERROR(99)" {
		t.Error(s)
	}
}

// The standard library's errors are found in ours.
func TestErrorIs(t *testing.T) {
	for _, is := range []struct{ err, target error }{
		{ErrTimedOut, os.ErrDeadlineExceeded},
		{ErrClosed, net.ErrClosed},
		{ErrCancelled, context.Canceled},
		{fmt.Errorf("outer: %w", NewError(CodeFailed, "inner: %w", io.EOF)), io.EOF},
		{NewError(CodeFailed, "%w and %w", io.EOF, os.ErrExist), os.ErrExist},
		{WrapError(CodeFailed, io.EOF, "doing"), io.EOF},
	} {
		if !errors.Is(is.err, is.target) {
			t.Errorf("%v is not %v", is.err, is.target)
		}
	}
	for _, is := range []struct{ err, target error }{
		{ErrTimedOut, net.ErrClosed}, {ErrClosed, os.ErrDeadlineExceeded}, {ErrTimedOut, ErrClosed}, {ErrWouldBlock, context.Canceled},
	} {
		if errors.Is(is.err, is.target) {
			t.Errorf("%v is %v", is.err, is.target)
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), past)
	defer cancel()
	err := ErrorFromContext(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || !err.Timeout() || err.Temporary() {
		t.Errorf("of a deadline: %v", err)
	}
	if !ErrTimedOut.Timeout() || ErrWouldBlock.Timeout() || !ErrWouldBlock.Temporary() || ErrClosed.Temporary() || ErrCancelled.Timeout() {
		t.Error("net.Error")
	}
}

func TestErrorFromSystem(t *testing.T) {
	if err := ErrorFromSystem(nil, "x"); err != nil {
		t.Error(err)
	}
	if err := ErrorFromSystem(fmt.Errorf("wrapped: %w", ErrNotConnected), "x"); err != error(ErrNotConnected) {
		t.Error("an IOError does not stay itself:", err)
	}
	for _, is := range []struct{ err, target error }{
		{&net.OpError{Op: "read", Err: net.ErrClosed}, ErrClosed},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, ErrTimedOut},
		{net.ErrWriteToConnected, ErrInvalidArgument},
		{errors.New("some reason"), ErrFailed},
	} {
		err := ErrorFromSystem(is.err, "doing this")
		if !errors.Is(err, is.target) || !errors.Is(err, is.err) || !strings.HasPrefix(err.Error(), "doing this: ") {
			t.Errorf("%v became %v", is.err, err)
		}
	}
}

func TestConditionString(t *testing.T) {
	for condition, want := range map[IOCondition]string{0: "0", In: "IN", In | Out | Hup: "IN|OUT|HUP", Pri | Err | Nval: "PRI|ERR|NVAL", 64: "unknown"} {
		if got := condition.String(); got != want {
			t.Errorf("%d is %q, it should be %q", condition, got, want)
		}
	}
}
