package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/registry"
)

const (
	indexFile   = "index.json"
	lockFile    = "index.lock"
	indexFormat = 1
	// maxIndex bounds index.json, in bytes: some hundred thousand versions.
	maxIndex = 64 << 20
)

// An index is the content of index.json.
type index struct {
	Format int                    `json:"format"`
	Models map[string]*indexModel `json:"models"`
}

type indexModel struct {
	Aliases  map[string]int  `json:"aliases"`
	Versions []*indexVersion `json:"versions"` // by rising number
}

type indexVersion struct {
	Number      int               `json:"number"`
	Model       string            `json:"model_id"`
	Run         string            `json:"run_id"`
	Description string            `json:"description"`
	Created     time.Time         `json:"created"`
	Tags        map[string]string `json:"tags"`
}

// readIndex needs no lock: the file is only ever replaced as a whole.
func (s *Store) readIndex() (*index, error) {
	path := filepath.Join(s.root, indexFile)
	data, err := s.readFile(indexFile, maxIndex)
	if errors.Is(err, registry.ErrNotFound) {
		return &index{Format: indexFormat, Models: map[string]*indexModel{}}, nil
	}
	if errors.Is(err, registry.ErrInvalid) {
		return nil, damaged(path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the registry's index: %w", err)
	}
	ix := &index{}
	if err := json.Unmarshal(data, ix); err != nil {
		return nil, damaged(path, err)
	}
	if ix.Format > indexFormat {
		return nil, fmt.Errorf("%w: %s has format %d, this program knows up to %d: use a newer Petal",
			registry.ErrUnavailable, path, ix.Format, indexFormat)
	}
	if err := ix.check(); err != nil {
		return nil, damaged(path, err)
	}
	return ix, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("%w: the registry's index %s is damaged: %w: put a backup in its place, "+
		"or move it away to begin an empty one (the model directories beside it stay)",
		registry.ErrUnavailable, path, err)
}

// check finds what no writer of this package leaves.
func (ix *index) check() error {
	if ix.Format < 1 || ix.Models == nil {
		return errors.New("format or models are missing")
	}
	for name, m := range ix.Models {
		if m == nil || m.Aliases == nil {
			return fmt.Errorf("model %q has no aliases", name)
		}
		last := 0
		for _, v := range m.Versions {
			if v == nil || v.Number <= last || v.Tags == nil || !modelSource.MatchString(modelsDir+"/"+v.Model) {
				return fmt.Errorf("model %q: the version after %d is malformed", name, last)
			}
			last = v.Number
		}
		for alias, number := range m.Aliases {
			if _, err := ix.find(name, number); err != nil {
				return fmt.Errorf("model %q: alias %q points at version %d, which is not there", name, alias, number)
			}
		}
	}
	return nil
}

// find returns one version's entry.
func (ix *index) find(name string, number int) (*indexVersion, error) {
	if m, ok := ix.Models[name]; ok {
		for _, v := range m.Versions {
			if v.Number == number {
				return v, nil
			}
		}
	}
	return nil, fmt.Errorf("version %d of model %q: %w", number, name, registry.ErrNotFound)
}

// version returns one version as the registry shows it.
func (ix *index) version(name string, number int) (registry.Version, error) {
	v, err := ix.find(name, number)
	if err != nil {
		return registry.Version{}, err
	}
	shown := registry.Version{
		Name:        name,
		Number:      strconv.Itoa(number),
		RunID:       v.Run,
		Source:      modelsDir + "/" + v.Model,
		Description: v.Description,
		Created:     v.Created,
		Tags:        maps.Clone(v.Tags),
	}
	for alias, n := range ix.Models[name].Aliases {
		if n == number {
			shown.Aliases = append(shown.Aliases, alias)
		}
	}
	slices.Sort(shown.Aliases)
	return shown, nil
}

// change lets fn edit the index while no other writer does, and puts the result
// in place. When fn fails nothing is written.
func (s *Store) change(ctx context.Context, fn func(*index) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.makeDir(""); err != nil {
		return err
	}
	unlock, err := atomicfile.Lock(ctx, filepath.Join(s.root, lockFile), lockWait)
	if err != nil {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	defer unlock()
	ix, err := s.readIndex()
	if err != nil {
		return err
	}
	if err := fn(ix); err != nil {
		return err
	}
	data, err := json.MarshalIndent(ix, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the registry's index: %w", err)
	}
	return s.write(indexFile, append(data, '\n'))
}
