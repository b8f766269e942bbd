package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/petal-ml/petal/internal/credential"
)

// InitialPasswordFile is the name, in the state directory, of the file that
// holds a generated password until it is changed.
const InitialPasswordFile = "initial_password"

// Bootstrap creates the first user when there is no user of that name. An empty
// password means a strong one, kept in the state directory until it is changed;
// [Service.InitialPassword] returns it. generated tells whether one is in force
// that this call has made. Processes that start at once agree on one password.
func (s *Service) Bootstrap(ctx context.Context, name, password string) (generated bool, err error) {
	_, err = s.store.User(ctx, name)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("create first user: %w", err)
	}
	if password != "" {
		_, err = s.Add(ctx, name, password, nil)
	} else {
		// The password is kept before the user is there: whoever is killed in
		// between finds it again, and nobody is locked out.
		generated = true
		password, _, err = credential.LoadOrCreate(s.initialPasswordPath(), credential.NewPassword)
		if err == nil {
			_, err = s.Add(ctx, name, password, nil)
		}
	}
	switch {
	case errors.Is(err, ErrExists): // another process was faster
		return false, s.dropStaleInitialPassword(ctx, name)
	case err != nil:
		return false, fmt.Errorf("create first user: %w", err)
	}
	return generated, nil
}

// InitialPassword returns the generated password of the user while it is in
// force; [ErrNoInitialPassword] when there was none or it has been changed.
func (s *Service) InitialPassword(ctx context.Context, name string) (string, error) {
	password, err := credential.ReadFile(s.initialPasswordPath())
	if errors.Is(err, os.ErrNotExist) {
		return "", ErrNoInitialPassword
	}
	if err != nil {
		return "", fmt.Errorf("initial password: %w", err)
	}
	ok, err := s.isPassword(ctx, name, password)
	if err != nil {
		return "", fmt.Errorf("initial password: %w", err)
	}
	if !ok {
		return "", ErrNoInitialPassword
	}
	return password, nil
}

func (s *Service) initialPasswordPath() string {
	return filepath.Join(s.stateDir, InitialPasswordFile)
}

// isPassword compares without counting failures: for files, not for people.
func (s *Service) isPassword(ctx context.Context, name, password string) (bool, error) {
	user, err := s.store.User(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := s.hasher.acquire(ctx); err != nil {
		return false, err
	}
	defer s.hasher.release()
	return s.hasher.verify(user.PasswordHash, password)
}

// dropStaleInitialPassword removes the kept password when it is not the user's:
// a replica with a state directory of its own has lost the race to create the
// user.
func (s *Service) dropStaleInitialPassword(ctx context.Context, name string) error {
	if _, err := s.InitialPassword(ctx, name); !errors.Is(err, ErrNoInitialPassword) {
		return err
	}
	return s.removeInitialPassword()
}

func (s *Service) removeInitialPassword() error {
	if err := os.Remove(s.initialPasswordPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("initial password: %w", err)
	}
	return nil
}
