package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/petal-ml/petal/internal/account"
)

// postgresConnections bounds one replica's share of the server's connections.
const postgresConnections = 10

// connectTimeout bounds one attempt to reach the server.
const connectTimeout = 10 * time.Second

// migrationWait is how long one process waits for another's migration.
const migrationWait = time.Minute

// uniqueViolation is PostgreSQL's code of a taken key.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const uniqueViolation = "23505"

type postgresDialect struct{}

func openPostgreSQL(source string) (*sql.DB, dialect, error) {
	cfg, err := pgx.ParseConfig(source) // its errors hide the password
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(postgresConnections)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, postgresDialect{}, nil
}

// prepare holds an advisory lock, which ends with the session that holds it.
func (postgresDialect) prepare(ctx context.Context, db *sql.DB) (versions Versions, err error) {
	defer func() {
		if isAway(err) {
			err = fmt.Errorf("%w: %w", account.ErrUnavailable, err)
		}
	}()
	ping, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	if err := db.PingContext(ping); err != nil {
		return Versions{}, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return Versions{}, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	waiting, cancel := context.WithTimeout(ctx, migrationWait)
	defer cancel()
	if _, err := conn.ExecContext(waiting, `SELECT pg_advisory_lock($1)`, lock.DefaultLockID); err != nil {
		return Versions{}, fmt.Errorf("wait for another process that is opening it: %w", err)
	}
	defer func() {
		_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lock.DefaultLockID)
		if unlockErr != nil { // then the session has to end, and the lock with it
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	return migrateUp(ctx, db, goose.DialectPostgres)
}

// isAway tells a server that cannot be reached, or takes no connections just now,
// from one that refuses this program.
func isAway(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		// Classes 08 (connection), 53 (resources) and 57 (operator): a server that
		// starts, stops or has too many connections.
		return slices.Contains([]string{"08", "53", "57"}, refused.Code[:min(2, len(refused.Code))])
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

func (postgresDialect) forUpdate() string { return " FOR UPDATE" }

func (postgresDialect) lockSubjects(ctx context.Context, tx *sql.Tx, subjects []string) error {
	for _, subject := range subjects {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, subject); err != nil {
			return err
		}
	}
	return nil
}

func (postgresDialect) isDuplicate(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == uniqueViolation
}
