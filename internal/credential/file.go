package credential

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LoadOrCreate returns the secret kept at path, and makes it with generate when
// there is none; created tells which. Of several processes that start at once
// one makes the file, and all return its content.
func LoadOrCreate(path string, generate func() string) (secret string, created bool, err error) {
	secret, err = ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		return secret, false, err
	}
	secret = generate()
	err = CreateFile(path, secret)
	if errors.Is(err, os.ErrExist) {
		secret, err = ReadFile(path)
		return secret, false, err
	}
	return secret, err == nil, err
}

// ReadFile returns the secret kept at path without its closing newline. A file
// that others may read is closed to them first.
func ReadFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return "", fmt.Errorf("read secret: others may read %s; chmod it to 0600: %w", path, err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("read secret: %s is empty; remove it to have a new one made", path)
	}
	return secret, nil
}

// CreateFile keeps a secret at path, for its owner only (0600). It never
// replaces a file: one that is there is [os.ErrExist]. The file appears whole
// or not at all.
func CreateFile(path, secret string) error {
	tmp, err := writeTemporary(path, secret)
	if err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	defer func() { _ = os.Remove(tmp) }()
	// A link fails where a rename would replace: the first process wins.
	if err := os.Link(tmp, path); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// ReplaceFile keeps a secret at path in place of the one that is there.
func ReplaceFile(path, secret string) error {
	tmp, err := writeTemporary(path, secret)
	if err != nil {
		return fmt.Errorf("replace secret: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("replace secret: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// writeTemporary writes a file beside path, synced to disk, mode 0600.
func writeTemporary(path, secret string) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.WriteString(secret + "\n"); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// syncDirectory makes a new name survive a power cut.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
