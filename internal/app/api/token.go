package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/token"
)

// tokenCommands end tokens, whether an API runs or not.
type tokenCommands struct {
	Revoke    tokenRevokeCommand    `cmd:"" help:"End one token: by its ID (jti), or the token itself from standard input."`
	RotateKey tokenRotateKeyCommand `cmd:"" name:"rotate-key" help:"Sign with a new key from now on (TOKEN_SIGNING_ALG=EdDSA). Tokens stay good."`
}

type tokenRevokeCommand struct {
	ID string `arg:"" optional:"" help:"The token's ID, its claim jti. Default: the token is read from standard input."`
}

// Run revokes a token. The token itself does not belong on the command line,
// where everybody on the machine can see it.
func (c *tokenRevokeCommand) Run(ctx context.Context, p *Process) error {
	return withAccounts(ctx, p, func(cfg settings.API, accounts *account.Service) error {
		// The ID alone does not tell when the token ends: no later than this.
		id, expires := c.ID, time.Now().Add(token.MaxLifetime+time.Minute)
		if id == "" {
			claims, err := readToken(p, cfg)
			if err != nil {
				return err
			}
			id, expires = claims.ID, claims.Expires
		} else if !token.IsID(id) {
			return errors.New(`revoke token: this is no token ID, which looks like "0.kX1…"; write the token itself to standard input to revoke it`)
		}
		if err := accounts.RevokeToken(ctx, id, expires); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "token %s revoked\n", id)
		return err
	})
}

// readToken takes a token from standard input and verifies it.
func readToken(p *Process, cfg settings.API) (token.Claims, error) {
	raw, err := readLine(p, "token")
	if err != nil {
		return token.Claims{}, err
	}
	keys, _, err := token.OpenKeyring(keyConfig(cfg))
	if err != nil {
		return token.Claims{}, err
	}
	verifier, err := token.NewVerifier(keys, token.DefaultConfig(cfg.TokenLifetime()))
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := verifier.Verify(strings.TrimSpace(raw))
	if err != nil {
		return token.Claims{}, fmt.Errorf("revoke token: nobody accepts it as it is: %w", err)
	}
	return claims, nil
}

type tokenRotateKeyCommand struct{}

// Run rotates the kept Ed25519 key. It needs no database.
func (tokenRotateKeyCommand) Run(p *Process, cfg settings.API) error {
	if cfg.SigningAlg != token.EdDSA {
		return settings.Fault{
			Variable: "TOKEN_SIGNING_ALG", Problem: "is " + string(cfg.SigningAlg) + ", whose key is a setting",
			Remedy: "set the new key as SECRET_KEY_PREVIOUS on every replica and restart; then swap the two and restart again",
		}
	}
	id, err := token.RotateEdDSA(cfg.StateDir, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "tokens are signed with the new key %s in a few seconds; tokens of the key before stay good\n", id)
	return err
}
