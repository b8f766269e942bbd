package storage

import "errors"

// VaultConfig takes the place of the settings of a store in Vault.
type VaultConfig struct {
	EndpointURL, Namespace, SecretStoragePath, SecretStorageNamespace string
	AuthMethod, AuthNamespace, MountPath                              string
	RootToken, RoleID, RoleSecret                                     string
	ServerCert, ClientCert, ClientCertKey                             string
}

// NewVault takes the place of the store in Vault.
func NewVault(VaultConfig) (Storer, error) { return nil, errors.ErrUnsupported }
