package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/account"
)

// changed raises the generation. It is the last act of a transaction, because
// others that change something wait from here on until it ends: whoever reads a
// generation can read all changes up to it.
//
// The row that was changed gets the number; the transaction has it locked already.
func changed(ctx context.Context, tx *sql.Tx, row changedRow, key string) error {
	var generation int64
	err := tx.QueryRowContext(ctx, `UPDATE access_generation SET generation = generation + 1 WHERE id = 1 RETURNING generation`).Scan(&generation)
	if err == nil {
		_, err = tx.ExecContext(ctx, string(row), generation, key)
	}
	if err != nil {
		return fmt.Errorf("raise generation: %w", err)
	}
	return nil
}

// A changedRow notes a generation in a row.
type changedRow string

const (
	changedUser  changedRow = `UPDATE users SET generation = $1 WHERE name = $2`
	changedToken changedRow = `UPDATE revoked_tokens SET generation = $1 WHERE id = $2`
	changedKey   changedRow = `UPDATE api_keys SET generation = $1 WHERE id = $2`
)

// Generation implements [account.Store].
func (s *Store) Generation(ctx context.Context) (int64, error) {
	var generation int64
	err := s.db.QueryRowContext(ctx, `SELECT generation FROM access_generation WHERE id = 1`).Scan(&generation)
	if err != nil {
		return 0, fmt.Errorf("select generation: %w", err)
	}
	return generation, nil
}

// Grants implements [account.Store]. It needs no transaction: the generation is
// read first, so that a change made meanwhile shows twice, never not at all.
func (s *Store) Grants(ctx context.Context, since int64, now time.Time) (grants account.Grants, err error) {
	if grants.Generation, err = s.Generation(ctx); err != nil {
		return account.Grants{}, err
	}
	if grants.Users, err = s.standings(ctx, since); err != nil {
		return account.Grants{}, err
	}
	if grants.Revoked, err = s.revokedTokens(ctx, since, now); err != nil {
		return account.Grants{}, err
	}
	if grants.Keys, err = s.keys(ctx, selectKeys+` WHERE generation > $1`, since); err != nil {
		return account.Grants{}, err
	}
	return grants, nil
}

// Census implements [account.Store].
func (s *Store) Census(ctx context.Context, now time.Time) (c account.Census, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(name)), 0) AS BIGINT), CAST(COALESCE(SUM(epoch), 0) AS BIGINT), CAST(COALESCE(SUM(disabled), 0) AS BIGINT) FROM users`).
		Scan(&c.Users, &c.Names, &c.Epochs, &c.Disabled)
	if err == nil {
		err = s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM revoked_tokens WHERE expires_at > $1`, now.UnixMicro()).Scan(&c.Revoked)
	}
	if err == nil {
		err = s.db.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(NULLIF(revoked_at, 0)), CAST(COALESCE(SUM(expires_at / 1000000), 0) AS BIGINT) FROM api_keys`).
			Scan(&c.Keys, &c.KeysRevoked, &c.Expiry)
	}
	if err != nil {
		return account.Census{}, fmt.Errorf("count what is granted: %w", err)
	}
	return c, nil
}

func (s *Store) standings(ctx context.Context, since int64) (map[string]account.Standing, error) {
	standings := map[string]account.Standing{}
	err := s.each(ctx, "users", func(row scanner) error {
		var (
			name     string
			standing account.Standing
			disabled int64
		)
		if err := row.Scan(&name, &standing.Epoch, &disabled); err != nil {
			return err
		}
		standing.Disabled = disabled != 0
		standings[name] = standing
		return nil
	}, `SELECT name, epoch, disabled FROM users WHERE generation > $1`, since)
	return standings, err
}

func (s *Store) revokedTokens(ctx context.Context, since int64, now time.Time) (map[string]time.Time, error) {
	revoked := map[string]time.Time{}
	err := s.each(ctx, "revoked tokens", func(row scanner) error {
		var (
			id    string
			until int64
		)
		if err := row.Scan(&id, &until); err != nil {
			return err
		}
		revoked[id] = fromMicros(until)
		return nil
	}, `SELECT id, expires_at FROM revoked_tokens WHERE generation > $1 AND expires_at > $2`, since, now.UnixMicro())
	return revoked, err
}

// RevokeToken implements [account.Store].
func (s *Store) RevokeToken(ctx context.Context, id string, until, forget time.Time) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM revoked_tokens WHERE expires_at <= $1`, forget.UnixMicro()); err != nil {
			return fmt.Errorf("forget revoked tokens: %w", err)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO revoked_tokens (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, until.UnixMicro())
		if err != nil {
			return fmt.Errorf("insert revoked token: %w", err)
		}
		return changed(ctx, tx, changedToken, id)
	})
}

// CreateKey implements [account.Store].
func (s *Store) CreateKey(ctx context.Context, k account.Key) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			k.ID, k.Name, hex.EncodeToString(k.Hash[:]), strings.Join(k.Scopes, " "),
			k.Created.UnixMicro(), k.Expires.UnixMicro(), toMicros(k.Revoked), toMicros(k.LastUsed))
		if err != nil && s.dialect.isDuplicate(err) {
			return account.ErrExists
		}
		if err != nil {
			return fmt.Errorf("insert API key: %w", err)
		}
		return changed(ctx, tx, changedKey, k.ID)
	})
}

const selectKeys = `SELECT id, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys`

// Keys implements [account.Store].
func (s *Store) Keys(ctx context.Context) ([]account.Key, error) { return s.keys(ctx, selectKeys) }

func (s *Store) keys(ctx context.Context, query string, args ...any) (keys []account.Key, err error) {
	err = s.each(ctx, "API keys", func(row scanner) error {
		k, err := scanKey(row)
		keys = append(keys, k)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b account.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// RevokeKey implements [account.Store].
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) (k account.Key, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0`, at.UnixMicro(), id); err != nil {
			return fmt.Errorf("update API key: %w", err)
		}
		k, err = scanKey(tx.QueryRowContext(ctx, selectKeys+` WHERE id = $1`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return account.ErrNoKey
		}
		if err != nil {
			return err
		}
		return changed(ctx, tx, changedKey, id)
	})
	if err != nil {
		return account.Key{}, err
	}
	return k, nil
}

// UseKey implements [account.Store].
func (s *Store) UseKey(ctx context.Context, id string, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1`, at.UnixMicro(), id)
	if err != nil {
		return fmt.Errorf("update API key: %w", err)
	}
	return nil
}

// each runs a query and hands its rows over one by one. what names them in
// errors.
func (s *Store) each(ctx context.Context, what string, row func(scanner) error, query string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("select %s: %w", what, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("select %s: %w", what, err)
	}
	return nil
}

func scanKey(row scanner) (account.Key, error) {
	var (
		k                           account.Key
		hash, scopes                string
		created, expires, rev, used int64
	)
	if err := row.Scan(&k.ID, &k.Name, &hash, &scopes, &created, &expires, &rev, &used); err != nil {
		return account.Key{}, fmt.Errorf("read API key: %w", err)
	}
	// A hash that is damaged stays zero: no secret matches it, and the other
	// keys go on working.
	if raw, err := hex.DecodeString(hash); err == nil && len(raw) == len(k.Hash) {
		copy(k.Hash[:], raw)
	}
	k.Scopes = strings.Fields(scopes)
	k.Created, k.Expires, k.Revoked, k.LastUsed = fromMicros(created), fromMicros(expires), fromMicros(rev), fromMicros(used)
	return k, nil
}

// toMicros keeps the zero time as 0.
func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
