package postgres

import (
	"errors"
	"testing"
)

func TestErrorsAreLines(t *testing.T) {
	cause := errors.New("failed to connect to `user=a`:\n\tone: refused\n\tone: refused\n\ttwo: refused")
	err := explain("cannot use the database", cause)
	if want := "postgres: cannot use the database: failed to connect to `user=a`: one: refused; two: refused"; err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("%q, want %q", err, want)
	}
	if explain("", nil) != nil {
		t.Error("no error became one")
	}
}
