package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/petal-ml/petal/internal/account"
)

// Logins past the bound are turned away, told when to come back; tokens that are
// out go on working.
func TestTooManyLogins(t *testing.T) {
	f := newFixture(t, func(c *config, _ *http.Server) { c.Accounts = busyAccounts{} })
	a := f.login(t, form("username", testUser, "password", testPassword))
	requireOAuth(t, a, http.StatusServiceUnavailable, "temporarily_unavailable")
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	assert.Equal(t, http.StatusOK, f.predict(t, `{"features":[5.1,3.5,1.4,0.2]}`).status)
}

// While the accounts cannot be reached, a login says so; why, the log says.
func TestLoginsWithoutDatabase(t *testing.T) {
	f := newFixture(t, func(c *config, _ *http.Server) { c.Accounts = lostAccounts{} })
	a := f.login(t, form("username", testUser, "password", testPassword))
	requireOAuth(t, a, http.StatusServiceUnavailable, "temporarily_unavailable")
	assert.Equal(t, "5", a.header.Get("Retry-After"))
	assert.NotContains(t, a.body, "disk")
	assert.Contains(t, f.log.String(), "disk full")
}

type lostAccounts struct{}

func (lostAccounts) Authenticate(context.Context, string, string, netip.Addr) (account.User, error) {
	return account.User{}, fmt.Errorf("%w: disk full", account.ErrUnavailable)
}
