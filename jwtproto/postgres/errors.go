package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// The states (SQLSTATE) of errors that the package knows.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	readOnlyTransaction  = "25006"
)

// advice is what to do about errors, by their state.
var advice = map[string]string{
	"08P01":             "is there a pooler between that shares transactions? It must share sessions",
	readOnlyTransaction: "the server is a standby; name the primary server, or all of them with target_session_attrs=read-write",
	"28000":             "see the server's pg_hba.conf",
	"28P01":             "check user and password in the address, or in the file of PGPASSFILE",
	"3D000":             "createdb makes a database",
	"42501":             "make the user the owner: ALTER DATABASE name OWNER TO user, or CREATE SCHEMA gdtls AUTHORIZATION user",
	"53100":             "make room on the server's disk",
	"53300":             "raise the server's max_connections, or lower pool_max_conns in the address",
	"55P03":             "another server holds the rows; it lets go within seconds",
	"57014":             "the database took too long, or another server held the rows",
	"57P03":             "the server is starting or stopping",
}

// explain makes an error tell what could not be done and what may help. An error of the
// context stays recognizable. nil stays nil.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	err = oneLine{err}
	if hint := hint(err); hint != "" {
		return fmt.Errorf("postgres: %s: %w (%s)", what, err, hint)
	}
	return fmt.Errorf("postgres: %s: %w", what, err)
}

// oneLine is an error whose text is in one line, and says nothing twice in a row: pgx
// tells of each attempt to connect in a line of its own.
type oneLine struct{ error }

func (e oneLine) Unwrap() error { return e.error }

func (e oneLine) Error() string {
	lines := strings.Split(e.error.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	first, rest := lines[0], slices.Compact(lines[1:])
	if len(rest) == 0 {
		return first
	}
	return first + " " + strings.Join(rest, "; ")
}

// hint says what may help, empty if nothing is known to.
func hint(err error) string {
	var of *pgconn.PgError
	switch {
	case errors.As(err, &of):
		return advice[of.Code]
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there: is the server running, and the address right?"
	case errors.Is(err, context.DeadlineExceeded):
		return "the server, or the network to it, takes too long"
	}
	return ""
}

// hasState reports whether an error of the database has one of these states.
func hasState(err error, states ...string) bool {
	var of *pgconn.PgError
	if errors.As(err, &of) {
		for _, state := range states {
			if of.Code == state {
				return true
			}
		}
	}
	return false
}
