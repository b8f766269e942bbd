package serving

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/petal-ml/petal/internal/registry"
)

// errNoCopy means that no model is kept on disk.
var errNoCopy = errors.New("no model is kept")

// A cache keeps the last good model on disk:
//
//	DIR/current.json     which directory counts, and the digests of its files
//	DIR/model-XXXXXXXX/  the files
//
// A copy is written to a directory of its own, which is renamed when it is
// whole; then current.json is renamed over the old one, and the old directory
// goes. Whenever the process is killed, one whole copy counts.
type cache struct{ dir string }

const manifestFile = "current.json"

// Names of the files of a copy.
const (
	cachedMLmodel = "MLmodel"
	cachedONNX    = "model.onnx"
	cachedExample = "input_example.json"
)

// manifest is the content of current.json.
type manifest struct {
	Version registry.Version  `json:"version"`
	Alias   string            `json:"alias"`
	Dir     string            `json:"dir"`
	SHA256  map[string]string `json:"sha256"` // by file name
}

// load reads the copy and verifies every file of it.
func (c cache) load() (Bundle, error) {
	var b Bundle
	data, err := os.ReadFile(filepath.Join(c.dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return b, errNoCopy
	} else if err != nil {
		return b, err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return b, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if !filepath.IsLocal(m.Dir) || m.Dir == "." {
		return b, fmt.Errorf("%s: names no directory beside it", manifestFile)
	}
	b.Version, b.Alias = m.Version, m.Alias
	for name, content := range map[string]*[]byte{cachedMLmodel: &b.MLmodel, cachedONNX: &b.ONNX, cachedExample: &b.Example} {
		want, listed := m.SHA256[name]
		if !listed && name == cachedExample {
			continue
		}
		if *content, err = os.ReadFile(filepath.Join(c.dir, m.Dir, name)); err != nil {
			return b, err
		}
		if got := digest(*content); got != want {
			return b, fmt.Errorf("%s has SHA-256 %s, expected %s", filepath.Join(c.dir, m.Dir, name), got, want)
		}
	}
	return b, nil
}

// store makes b the copy that counts.
func (c cache) store(b Bundle) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	m := manifest{Version: b.Version, Alias: b.Alias, SHA256: map[string]string{}}
	temp, err := os.MkdirTemp(c.dir, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // it is gone once renamed; else the next store sweeps it
	for name, content := range map[string][]byte{cachedMLmodel: b.MLmodel, cachedONNX: b.ONNX, cachedExample: b.Example} {
		if content == nil {
			continue
		}
		if err := writeSynced(filepath.Join(temp, name), content); err != nil {
			return err
		}
		m.SHA256[name] = digest(content)
	}
	m.Dir = strings.Replace(filepath.Base(temp), "tmp-", "model-", 1)
	if err := os.Rename(temp, filepath.Join(c.dir, m.Dir)); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	pending := filepath.Join(c.dir, manifestFile+".tmp")
	if err := writeSynced(pending, data); err != nil {
		return err
	}
	if err := os.Rename(pending, filepath.Join(c.dir, manifestFile)); err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		return err
	}
	return c.sweep(m.Dir)
}

// sweep removes the copies that no longer count.
func (c cache) sweep(keep string) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		old := strings.HasPrefix(e.Name(), "model-") || strings.HasPrefix(e.Name(), "tmp-")
		if e.IsDir() && old && e.Name() != keep {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeSynced(path string, content []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it was only synced
	return d.Sync()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
