package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// State names the directory of keys, the initial password, the last good model
// and caches.
type State struct {
	StateDir string `env:"STATE_DIR" envDefault:"./var"`
}

// MakeStateDir creates the state directory, for its owner only. In one that others may
// write they could put files of their own in the place of keys: that right is taken
// from them where the directory is this user's.
func (s State) MakeStateDir() error {
	if err := os.MkdirAll(s.StateDir, 0o700); err != nil {
		return Fault{
			"STATE_DIR", fmt.Sprintf("%q cannot be created: %s", s.StateDir, plain(err)),
			"name a directory that this user may create and write",
		}
	}
	info, err := os.Stat(s.StateDir)
	if err != nil || info.Mode().Perm()&0o022 == 0 {
		return nil //nolint:nilerr // what cannot be looked at shows where a file is opened in it
	}
	if err := os.Chmod(s.StateDir, info.Mode().Perm()&^0o022); err != nil {
		slog.Warn("others may write the state directory", "directory", s.StateDir, "error", err, //nolint:sloglint // settings has no logger of its own
			"remedy", "chmod it to 0700 as its owner")
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
