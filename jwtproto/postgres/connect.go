package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// connectTime is how long one attempt to connect may take unless the address says
	// otherwise, and driverConnectTime is what the driver has instead.
	connectTime       = 3 * time.Second
	driverConnectTime = 2 * time.Minute
	// oldest is the oldest PostgreSQL that can be used.
	oldest = 14
	// migrating is the advisory lock that who brings the tables up to date holds.
	migrating = 0x6764746c73 // "gdtls"

	versions = "gdtls.versions" // the table of the migrations that were applied
)

//go:embed migrations/*.sql
var migrations embed.FS

// configure reads an address. Errors do not have its password in them.
func configure(address string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("postgres: the address cannot be used; one looks like postgres://user:password@host/database: %w", err)
	}
	if config.ConnConfig.ConnectTimeout == driverConnectTime {
		config.ConnConfig.ConnectTimeout = connectTime
	}
	set(config.ConnConfig, "application_name", "gdtls")
	config.AfterConnect = durable
	return config, nil
}

// set sets a parameter of sessions unless the address does.
func set(c *pgx.ConnConfig, name, value string) {
	if c.RuntimeParams[name] == "" {
		c.RuntimeParams[name] = value
	}
}

// limit sets what sessions need that hold the rows of groups.
func limit(c *pgx.ConnConfig) {
	// A server that hangs, or whose machine is gone, must not keep others from its groups
	// for long.
	set(c, "statement_timeout", "10s")
	set(c, "idle_in_transaction_session_timeout", "5s")
	set(c, "client_connection_check_interval", "1s")
	// Few rows are looked up by their keys, always, whatever the statistics say of tables
	// that were small when a plan was made. The statements are too short for being
	// compiled.
	set(c, "enable_seqscan", "off")
	set(c, "enable_hashjoin", "off")
	set(c, "enable_mergejoin", "off")
	set(c, "jit", "off")
}

// durable has a session wait for the disk when it commits.
func durable(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// prepare checks whether the database can be used, and brings its tables up to date.
func prepare(ctx context.Context, config *pgx.ConnConfig) error {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := check(ctx, c); err != nil {
		return err
	}
	all, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, all, goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	newest := slices.MaxFunc(sources, func(a, b *goose.Source) int { return int(a.Version - b.Version) }).Version
	if done, err := isCurrent(ctx, c, newest); done || err != nil {
		return err
	}
	// Of several servers that start at once one does it, and the others wait. The lock
	// ends with the session at the latest.
	if _, err := c.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrating); err != nil {
		return err
	}
	if done, err := isCurrent(ctx, c, newest); done || err != nil {
		return err
	}
	var there bool
	if err := c.QueryRow(ctx, `SELECT to_regnamespace('gdtls') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := c.Exec(ctx, `CREATE SCHEMA gdtls`); err != nil {
			return err
		}
	}
	_, err = provider.Up(ctx)
	return err
}

// check refuses a database that is not fit for use.
func check(ctx context.Context, c *pgx.Conn) error {
	var version int
	var encoding string
	var standby bool
	err := c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery()`).Scan(&version, &encoding, &standby)
	switch {
	case err != nil:
		return err
	case version/10000 < oldest:
		return fmt.Errorf("it is PostgreSQL %d, and %d or newer is needed", version/10000, oldest)
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s; CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0 makes one that fits", encoding)
	case standby:
		return errors.New("it is a standby, which keeps nothing; name the primary server, or all of them with target_session_attrs=read-write")
	}
	return nil
}

// isCurrent reports whether the tables are those of this program. It is an error if they
// are of a newer one.
func isCurrent(ctx context.Context, c *pgx.Conn, newest int64) (bool, error) {
	var there bool
	if err := c.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, versions).Scan(&there); err != nil || !there {
		return false, err
	}
	var version int64
	if err := c.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versions).Scan(&version); err != nil {
		return false, err
	}
	if version > newest {
		return false, fmt.Errorf("its tables have version %d, and this program knows those up to %d: use a newer gdtls, or another database", version, newest)
	}
	return version == newest, nil
}
