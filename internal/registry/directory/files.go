package directory

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/registry"
)

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
	if err := atomicfile.Write(filepath.Join(s.root, path), data, 0o644); err != nil { // others may read: see makeDir
		return s.unwritable(err)
	}
	return nil
}

// writeModel makes a model directory, whole or not at all.
func (s *Store) writeModel(id string, files map[string][]byte) error {
	if err := s.makeDir(modelsDir); err != nil {
		return err
	}
	s.sweep()
	if err := atomicfile.WriteDir(filepath.Join(s.root, modelsDir, id), files, 0o644); err != nil {
		return s.unwritable(err)
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
			if err == nil && atomicfile.IsTemporary(entry.Name()) && time.Since(info.ModTime()) > leftoverAge {
				_ = os.RemoveAll(filepath.Join(s.root, dir, entry.Name()))
			}
		}
	}
}
