package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// postgresConnections bounds one replica's share of the server's connections.
const postgresConnections = 10

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
func (postgresDialect) prepare(ctx context.Context, db *sql.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60)) // each second, for a minute
	if err != nil {
		return err
	}
	return migrateUp(ctx, db, goose.DialectPostgres, goose.WithSessionLocker(locker))
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
