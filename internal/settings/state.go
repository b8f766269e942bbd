package settings

import (
	"errors"
	"fmt"
	"os"
)

// State names the directory of keys, the initial password, the last good model
// and caches.
type State struct {
	StateDir string `env:"STATE_DIR" envDefault:"./var"`
}

// MakeStateDir creates the state directory, for its owner only.
func (s State) MakeStateDir() error {
	if err := os.MkdirAll(s.StateDir, 0o700); err != nil {
		return Fault{
			"STATE_DIR", fmt.Sprintf("%q cannot be created: %s", s.StateDir, plain(err)),
			"name a directory that this user may create and write",
		}
	}
	return nil
}

func (s State) validate() Faults {
	info, err := os.Stat(s.StateDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fault("STATE_DIR", fmt.Sprintf("%q cannot be looked at: %s", s.StateDir, plain(err)), "name another directory")
	case !info.IsDir():
		return fault("STATE_DIR", fmt.Sprintf("%q is not a directory", s.StateDir), "name a directory, such as ./var")
	}
	return nil
}
