package auth

import "errors"

// NewVaultIAMService takes the place of the accounts that are kept in Vault.
func NewVaultIAMService(Account, string, string, string, string, string, string, string, string, string, string, string, string, string) (IAMService, error) {
	return nil, errors.ErrUnsupported
}
