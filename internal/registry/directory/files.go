package directory

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/registry"
)

// temporary marks what is being written. Readers pass over it, and what a
// killed writer left is swept away later.
const temporary = ".tmp-"

func isTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// newID returns 32 random hex digits, as MLflow's IDs have.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// makeDir makes a folder of the registry and those above it.
func (s *Store) makeDir(dir string) error {
	path := filepath.Join(s.root, dir)
	// Trainer and API may run under different accounts: others may read.
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // see above
		return s.unwritable(err)
	}
	return nil
}

func (s *Store) unwritable(err error) error {
	return fmt.Errorf("%w: cannot write to the registry folder %s: %w: make it writable, or name another one as artifact_location in mlflow.yaml",
		registry.ErrUnavailable, s.root, err)
}

// write puts a file in its place in one step and waits until the disk has it.
// The path is relative to the registry's folder; its directory exists.
func (s *Store) write(path string, data []byte) error {
	target := filepath.Join(s.root, path)
	dir := filepath.Dir(target)
	temp := filepath.Join(dir, temporary+newID())
	err := writeSynced(temp, data)
	if err == nil {
		err = os.Rename(temp, target) //nolint:gosec // callers check the path
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		_ = os.Remove(temp) //nolint:gosec // our own name; gone already when the rename worked
		return s.unwritable(err)
	}
	return nil
}

// writeSynced writes a new file and waits until the disk has it.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // others may read: see makeDir
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncDir waits until the disk has the names in a folder.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // a folder of the registry
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// writeModel builds a model directory aside and moves it into place whole.
func (s *Store) writeModel(id string, files map[string][]byte) error {
	if err := s.makeDir(modelsDir); err != nil {
		return err
	}
	s.sweep()
	models := filepath.Join(s.root, modelsDir)
	temp := filepath.Join(models, temporary+id)
	err := writeTree(temp, files)
	if err == nil {
		err = os.Rename(temp, filepath.Join(models, id))
	}
	if err == nil {
		err = syncDir(models)
	}
	if err != nil {
		_ = os.RemoveAll(temp)
		return s.unwritable(err)
	}
	return nil
}

func writeTree(root string, files map[string][]byte) error {
	dirs := map[string]bool{root: true}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		dirs[filepath.Dir(path)] = true
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // others may read: see makeDir
			return err
		}
		if err := writeSynced(path, content); err != nil {
			return err
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what writers left who were killed long ago. A failure only
// leaves it for the next time.
func (s *Store) sweep() {
	for _, dir := range []string{"", modelsDir} {
		entries, err := os.ReadDir(filepath.Join(s.root, dir))
		if err != nil {
			continue
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err == nil && isTemporary(entry.Name()) && time.Since(info.ModTime()) > leftoverAge {
				_ = os.RemoveAll(filepath.Join(s.root, dir, entry.Name()))
			}
		}
	}
}
