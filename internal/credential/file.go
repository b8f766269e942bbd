package credential

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/regularfile"
)

// ErrNoFile means that something else stands in the place of a secret's file.
var ErrNoFile = errors.New("not a secret's file")

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

// maxFileBytes is far above any secret and any file of keys.
const maxFileBytes = 1 << 20

// ReadFile returns the secret kept at path without its closing newline. A file
// that others may read is closed to them first. What is no regular file of at most
// 1 MiB is refused: a named pipe would wait for its writer, a device has no end.
func ReadFile(path string) (string, error) {
	f, err := regularfile.Open(path)
	if errors.Is(err, regularfile.ErrNotRegular) {
		return "", noFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if info.Size() > maxFileBytes {
		return "", noFile(path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return "", fmt.Errorf("read secret: others may read %s; chmod it to 0600: %w", path, err)
		}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("read secret: %s is empty; remove it to have a new one made", path)
	}
	return secret, nil
}

func noFile(path string) error {
	return fmt.Errorf("read secret: %w: %s is not a regular file of at most %d bytes; remove it to have a new one made", ErrNoFile, path, maxFileBytes)
}

// CreateFile keeps a secret at path, for its owner only (0600). It never
// replaces a file: one that is there is [os.ErrExist]. The file appears whole
// or not at all.
func CreateFile(path, secret string) error {
	if err := atomicfile.WriteNew(path, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	return nil
}

// ReplaceFile keeps a secret at path in place of the one that is there.
func ReplaceFile(path, secret string) error {
	if err := atomicfile.Write(path, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("replace secret: %w", err)
	}
	return nil
}
