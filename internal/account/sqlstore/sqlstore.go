// Package sqlstore keeps accounts in SQLite or PostgreSQL.
//
// Both speak the same SQL here; what differs (how to connect, how to lock, how
// a taken name is reported) stands in a dialect. The suite in package
// accounttest holds both to the words of [account.Store].
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/account"
)

// The drivers that [Open] knows.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgres"
)

// A Store is an [account.Store] in a database.
type Store struct {
	db      *sql.DB
	dialect dialect
}

var _ account.Store = (*Store)(nil)

// A dialect is where the two databases differ.
type dialect interface {
	// prepare connects and brings the schema to this program's version, in a
	// lock that holds off other processes.
	prepare(ctx context.Context, db *sql.DB) (Versions, error)
	// forUpdate follows a SELECT whose rows the transaction will change.
	forUpdate() string
	// lockSubjects keeps other transactions from counting failures of the same
	// subjects until this one ends.
	lockSubjects(ctx context.Context, tx *sql.Tx, subjects []string) error
	// isDuplicate tells whether an insert met a key that is there.
	isDuplicate(err error) bool
}

// Open connects to the database and brings its schema up to date. The source is
// the path of a file for [SQLite], which is created where it is missing, and a
// postgres:// URL for [PostgreSQL]. Errors hold no password. A server that cannot
// be reached just now is [account.ErrUnavailable].
func Open(ctx context.Context, driver, source string) (*Store, error) {
	store, _, err := open(ctx, driver, source)
	if err != nil {
		return nil, fmt.Errorf("open account database: %w", err)
	}
	return store, nil
}

// OpenLater is [Open] for who does not wait for a server: the store can be used
// once [Store.Prepare] has succeeded.
func OpenLater(driver, source string) (*Store, error) {
	store, err := connect(driver, source)
	if err != nil {
		return nil, fmt.Errorf("open account database: %w", err)
	}
	return store, nil
}

// Prepare brings the schema up to date; its errors are those of [Open].
func (s *Store) Prepare(ctx context.Context) error {
	if _, err := s.dialect.prepare(ctx, s.db); err != nil {
		return fmt.Errorf("open account database: %w", err)
	}
	return nil
}

func open(ctx context.Context, driver, source string) (*Store, Versions, error) {
	store, err := connect(driver, source)
	if err != nil {
		return nil, Versions{}, err
	}
	versions, err := store.dialect.prepare(ctx, store.db)
	if err != nil {
		return nil, Versions{}, errors.Join(err, store.Close())
	}
	return store, versions, nil
}

func connect(driver, source string) (*Store, error) {
	var (
		db  *sql.DB
		d   dialect
		err error
	)
	switch driver {
	case SQLite:
		db, d, err = openSQLite(source)
	case PostgreSQL:
		db, d, err = openPostgreSQL(source)
	default:
		err = fmt.Errorf("unknown driver %q", driver)
	}
	if err != nil {
		return nil, err
	}
	return &Store{db: db, dialect: d}, nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.db.Close() }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// CreateUser implements [account.Store].
func (s *Store) CreateUser(ctx context.Context, u account.User) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO users (name, password_hash, scopes, disabled, epoch, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			u.Name, u.PasswordHash, strings.Join(u.Scopes, " "), toInt(u.Disabled), u.Epoch, u.Created.UnixMicro(), u.Updated.UnixMicro())
		if err != nil && s.dialect.isDuplicate(err) {
			return account.ErrExists
		}
		if err != nil {
			return fmt.Errorf("insert user: %w", err)
		}
		return changed(ctx, tx, changedUser, u.Name)
	})
}

const selectUsers = `SELECT name, password_hash, scopes, disabled, epoch, created_at, updated_at FROM users`

// User implements [account.Store]. PostgreSQL takes no text that is not UTF-8 or
// holds a zero byte: an attempt to log in with such a name would be a fault of
// the database.
func (s *Store) User(ctx context.Context, name string) (account.User, error) {
	if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
		return account.User{}, account.ErrNotFound
	}
	return scanUser(s.db.QueryRowContext(ctx, selectUsers+` WHERE name = $1`, name))
}

// Users implements [account.Store].
func (s *Store) Users(ctx context.Context) ([]account.User, error) {
	var users []account.User
	err := s.each(ctx, "users", func(row scanner) error {
		u, err := scanUser(row)
		users = append(users, u)
		return err
	}, selectUsers)
	if err != nil {
		return nil, err
	}
	// Sorted here: PostgreSQL's order depends on its collation.
	slices.SortFunc(users, func(a, b account.User) int { return strings.Compare(a.Name, b.Name) })
	return users, nil
}

// UpdateUser implements [account.Store].
func (s *Store) UpdateUser(ctx context.Context, name string, change func(*account.User) error) (account.User, error) {
	var u account.User
	err := s.transact(ctx, func(tx *sql.Tx) error {
		var err error
		u, err = scanUser(tx.QueryRowContext(ctx, selectUsers+` WHERE name = $1`+s.dialect.forUpdate(), name))
		if err != nil {
			return err
		}
		before := u
		if err := change(&u); err != nil {
			return err
		}
		u.Name = name
		_, err = tx.ExecContext(ctx,
			`UPDATE users SET password_hash = $1, scopes = $2, disabled = $3, epoch = $4, created_at = $5, updated_at = $6 WHERE name = $7`,
			u.PasswordHash, strings.Join(u.Scopes, " "), toInt(u.Disabled), u.Epoch, u.Created.UnixMicro(), u.Updated.UnixMicro(), name)
		if err != nil {
			return fmt.Errorf("update user: %w", err)
		}
		if u.Epoch == before.Epoch && u.Disabled == before.Disabled {
			return nil
		}
		return changed(ctx, tx, changedUser, name)
	})
	if err != nil {
		return account.User{}, err
	}
	return u, nil
}

// querier is what a failure is looked up through: the database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// FailureAt implements [account.Store].
func (s *Store) FailureAt(ctx context.Context, subject string, n int, after, until time.Time) (time.Time, bool, error) {
	return failureAt(ctx, s.db, subject, n, after, until)
}

func failureAt(ctx context.Context, q querier, subject string, n int, after, until time.Time) (time.Time, bool, error) {
	var micros int64
	err := q.QueryRowContext(ctx,
		`SELECT failed_at FROM login_failures WHERE subject = $1 AND failed_at > $2 AND failed_at <= $3 ORDER BY failed_at DESC LIMIT 1 OFFSET $4`,
		subject, after.UnixMicro(), until.UnixMicro(), n-1).Scan(&micros)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("select login failures: %w", err)
	}
	return time.UnixMicro(micros).UTC(), true, nil
}

// AddFailure implements [account.Store].
func (s *Store) AddFailure(ctx context.Context, limits []account.Limit, at, after, until time.Time) (added bool, err error) {
	subjects := make([]string, len(limits))
	for i, l := range limits {
		subjects[i] = l.Subject
	}
	slices.Sort(subjects) // one order for all, or two transactions wait for each other
	err = s.transact(ctx, func(tx *sql.Tx) error {
		added = false
		if err := s.dialect.lockSubjects(ctx, tx, subjects); err != nil {
			return fmt.Errorf("lock login failures: %w", err)
		}
		for _, l := range limits {
			if _, reached, err := failureAt(ctx, tx, l.Subject, l.Max, after, until); err != nil || reached {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM login_failures WHERE failed_at <= $1 OR failed_at > $2`, after.UnixMicro(), until.UnixMicro()); err != nil {
			return fmt.Errorf("forget login failures: %w", err)
		}
		for _, subject := range subjects {
			if _, err := tx.ExecContext(ctx, `INSERT INTO login_failures (subject, failed_at) VALUES ($1, $2)`, subject, at.UnixMicro()); err != nil {
				return fmt.Errorf("insert login failure: %w", err)
			}
		}
		added = true
		return nil
	})
	return added && err == nil, err
}

// transact runs f in a transaction, which is rolled back when f fails.
func (s *Store) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that tells
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

type scanner interface{ Scan(dest ...any) error }

func scanUser(row scanner) (account.User, error) {
	var (
		u                account.User
		scopes           string
		disabled         int64
		created, updated int64
	)
	err := row.Scan(&u.Name, &u.PasswordHash, &scopes, &disabled, &u.Epoch, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return account.User{}, account.ErrNotFound
	}
	if err != nil {
		return account.User{}, fmt.Errorf("read user: %w", err)
	}
	u.Scopes, u.Disabled = strings.Fields(scopes), disabled != 0
	u.Created, u.Updated = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return u, nil
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
