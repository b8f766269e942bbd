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
func changed(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `UPDATE access_generation SET generation = generation + 1 WHERE id = 1`); err != nil {
		return fmt.Errorf("raise generation: %w", err)
	}
	return nil
}

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
func (s *Store) Grants(ctx context.Context, now time.Time) (grants account.Grants, err error) {
	if grants.Generation, err = s.Generation(ctx); err != nil {
		return account.Grants{}, err
	}
	if grants.Users, err = s.standings(ctx); err != nil {
		return account.Grants{}, err
	}
	if grants.Revoked, err = s.revokedTokens(ctx, now); err != nil {
		return account.Grants{}, err
	}
	if grants.Keys, err = s.Keys(ctx); err != nil {
		return account.Grants{}, err
	}
	return grants, nil
}

func (s *Store) standings(ctx context.Context) (map[string]account.Standing, error) {
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
	}, `SELECT name, epoch, disabled FROM users`)
	return standings, err
}

func (s *Store) revokedTokens(ctx context.Context, now time.Time) (ids []string, err error) {
	err = s.each(ctx, "revoked tokens", func(row scanner) error {
		var id string
		if err := row.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}, `SELECT id FROM revoked_tokens WHERE expires_at > $1`, now.UnixMicro())
	return ids, err
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
		return changed(ctx, tx)
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
		return changed(ctx, tx)
	})
}

const selectKeys = `SELECT id, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys`

// Keys implements [account.Store].
func (s *Store) Keys(ctx context.Context) (keys []account.Key, err error) {
	err = s.each(ctx, "API keys", func(row scanner) error {
		k, err := scanKey(row)
		keys = append(keys, k)
		return err
	}, selectKeys)
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
		return changed(ctx, tx)
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
