package sqlstore_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/tests/conformance/accounttest"
	"github.com/petal-ml/petal/tests/testenv/pgtest"
)

func TestPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	databases := 0
	create := func() string {
		databases++
		return server.CreateDatabase(fmt.Sprintf("accounts_%d", databases))
	}
	accounttest.Run(t, func(t *testing.T) (account.Store, func() account.Store) {
		source := create()
		return open(t, sqlstore.PostgreSQL, source), func() account.Store { return open(t, sqlstore.PostgreSQL, source) }
	})
	t.Run("migrations at once", func(t *testing.T) { openAtOnce(t, sqlstore.PostgreSQL, create()) })
	t.Run("migrate", func(t *testing.T) {
		source := create()
		versions, err := sqlstore.Migrate(t.Context(), sqlstore.PostgreSQL, source)
		require.NoError(t, err)
		require.Equal(t, sqlstore.Versions{Before: 0, After: 3}, versions)
		versions, err = sqlstore.Migrate(t.Context(), sqlstore.PostgreSQL, source)
		require.NoError(t, err)
		require.Equal(t, sqlstore.Versions{Before: 3, After: 3}, versions)
	})
	t.Run("wrong password", func(t *testing.T) {
		source, err := url.Parse(create())
		require.NoError(t, err)
		source.User = url.UserPassword("petal", "hunter2")
		_, err = sqlstore.Open(t.Context(), sqlstore.PostgreSQL, source.String())
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "28P01", refused.Code, "invalid_password: %v", err)
		require.NotErrorIs(t, err, account.ErrUnavailable, "no waiting mends it")
		require.NotContains(t, err.Error(), "hunter2")
	})
}
