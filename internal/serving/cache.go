package serving

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/regularfile"
)

// errNoCopy means that no model is kept on disk.
var errNoCopy = errors.New("no model is kept")

// A cache keeps the last good model on disk:
//
//	DIR/current.json  which directory counts, and the digests of its files
//	DIR/model-XXXX/   the files
//
// A copy gets a directory of its own, which appears when it is whole; then
// current.json is replaced, and the old directory goes. Whenever the process is
// killed, one whole copy counts.
type cache struct {
	dir     string
	maxSize int64 // of a file of a copy, in bytes
}

const (
	maxManifestSize = 1 << 20

	manifestFile = "current.json"
	modelPrefix  = "model-"
)

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
	data, err := regularfile.Read(filepath.Join(c.dir, manifestFile), maxManifestSize)
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
		if *content, err = regularfile.Read(filepath.Join(c.dir, m.Dir, name), c.maxSize); err != nil {
			return b, err
		}
		if got := digest(*content); got != want {
			return b, fmt.Errorf("%s has SHA-256 %s, expected %s", filepath.Join(c.dir, m.Dir, name), got, want)
		}
	}
	return b, nil
}

// write puts a copy of b on disk, which counts once it is adopted.
func (c cache) write(b Bundle) (manifest, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return manifest{}, err
	}
	m := manifest{Version: b.Version, Alias: b.Alias, Dir: modelPrefix + rand.Text(), SHA256: map[string]string{}}
	files := map[string][]byte{cachedMLmodel: b.MLmodel, cachedONNX: b.ONNX}
	if b.Example != nil {
		files[cachedExample] = b.Example
	}
	for name, content := range files {
		m.SHA256[name] = digest(content)
	}
	if err := atomicfile.WriteDir(filepath.Join(c.dir, m.Dir), files, 0o600); err != nil {
		return manifest{}, err
	}
	return m, nil
}

// adopt makes a copy the one that counts. One that could not be written changes
// nothing.
func (c cache) adopt(m manifest) error {
	if m.Dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(c.dir, manifestFile), data, 0o600); err != nil {
		return err
	}
	return c.sweep(m.Dir)
}

// drop removes a copy that will not be adopted; what stays is swept later.
func (c cache) drop(m manifest) {
	if m.Dir != "" {
		_ = os.RemoveAll(filepath.Join(c.dir, m.Dir))
	}
}

// sweep removes the copies that no longer count.
func (c cache) sweep(keep string) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		old := strings.HasPrefix(e.Name(), modelPrefix) && e.Name() != keep
		if old || atomicfile.IsTemporary(e.Name()) {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
