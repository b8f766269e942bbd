package dvc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"gopkg.in/ini.v1"

	"github.com/petal-ml/petal/internal/regularfile"
)

// config is DVC's configuration, merged from all its files.
type config struct {
	core    map[string]string
	cache   map[string]string
	remotes map[string]map[string]string // by name; url is resolved
}

// The folders of the configuration above that of the repository.
const (
	systemDirVariable = "DVC_SYSTEM_CONFIG_DIR"
	globalDirVariable = "DVC_GLOBAL_CONFIG_DIR"
)

// loadConfig reads the files that are there, each over the one before it: the
// system's, the user's, the repository's, the work tree's own.
func loadConfig(root string, getenv func(string) string) (*config, error) {
	c := &config{core: map[string]string{}, cache: map[string]string{}, remotes: map[string]map[string]string{}}
	for _, dir := range []string{systemConfigDir(getenv), globalConfigDir(getenv)} {
		if dir == "" {
			continue
		}
		file := filepath.Join(dir, "config")
		f, err := regularfile.Open(file)
		if err := c.merge(file, f, err); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"config", "config.local"} {
		at := place{root, filepath.Join(".dvc", name)}
		f, err := at.open()
		if err := c.merge(at.String(), f, err); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// systemConfigDir is platformdirs.site_config_dir("dvc", "iterative").
func systemConfigDir(getenv func(string) string) string {
	switch {
	case getenv(systemDirVariable) != "":
		return getenv(systemDirVariable)
	case runtime.GOOS == "darwin":
		return "/Library/Application Support/dvc"
	case runtime.GOOS == "windows":
		return filepath.Join(getenv("ProgramData"), "iterative", "dvc")
	}
	if dirs := filepath.SplitList(getenv("XDG_CONFIG_DIRS")); len(dirs) > 0 {
		return filepath.Join(dirs[0], "dvc")
	}
	return "/etc/xdg/dvc"
}

// globalConfigDir is platformdirs.user_config_dir("dvc", "iterative").
func globalConfigDir(getenv func(string) string) string {
	home := getenv("HOME")
	switch {
	case getenv(globalDirVariable) != "":
		return getenv(globalDirVariable)
	case runtime.GOOS == "windows":
		return filepath.Join(getenv("LOCALAPPDATA"), "iterative", "dvc")
	case runtime.GOOS == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", "dvc")
	case getenv("XDG_CONFIG_HOME") != "":
		return filepath.Join(getenv("XDG_CONFIG_HOME"), "dvc")
	case home != "":
		return filepath.Join(home, ".config", "dvc")
	}
	return ""
}

const maxConfigBytes = 1 << 20

// remoteSection is how DVC writes the name of a remote into a section's name.
var remoteSection = regexp.MustCompile(`^'?\s*remote\s*"(.*)"\s*'?$`)

// merge lays what a file says over what is known; a missing file says nothing.
func (c *config) merge(file string, opened *os.File, err error) error {
	data, err := read(opened, err, maxConfigBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{File: file, Problem: "cannot be read: " + plain(err), Remedy: "make it readable or remove it", Kind: ErrConfig}
	}
	parsed, err := ini.LoadSources(ini.LoadOptions{
		InsensitiveKeys:          true,
		IgnoreContinuation:       true,
		SpaceBeforeInlineComment: true,
	}, data)
	if err != nil {
		// ini's error repeats the line, which may hold a secret.
		return &Error{File: file, Problem: "is not in the INI format of DVC" + faultyLine(data, err), Remedy: `write "key = value" below [core] or ['remote "name"']`, Kind: ErrConfig}
	}
	for _, section := range parsed.Sections() {
		values := map[string]string{}
		for _, key := range section.Keys() {
			values[key.Name()] = key.Value() // not String: it would expand %(…)s
		}
		switch match := remoteSection.FindStringSubmatch(section.Name()); {
		case match != nil:
			c.mergeRemote(match[1], values, filepath.Dir(file))
		case section.Name() == "core":
			maps.Copy(c.core, values)
		case section.Name() == "cache":
			if dir, ok := values["dir"]; ok {
				values["dir"] = resolve(filepath.Dir(file), dir)
			}
			maps.Copy(c.cache, values)
		}
	}
	return nil
}

func (c *config) mergeRemote(name string, values map[string]string, dir string) {
	if c.remotes[name] == nil {
		c.remotes[name] = map[string]string{}
	}
	if url, ok := values["url"]; ok {
		values["url"] = resolve(dir, url)
	}
	maps.Copy(c.remotes[name], values)
}

func faultyLine(data []byte, err error) string {
	var missing ini.ErrDelimiterNotFound
	if !errors.As(err, &missing) {
		return ""
	}
	for i, line := range strings.Split(string(data), "\n") {
		if strings.TrimSpace(line) == strings.TrimSpace(missing.Line) {
			return fmt.Sprintf(" (line %d)", i+1)
		}
	}
	return ""
}

var scheme = regexp.MustCompile(`^\w+://`)

// resolve makes a path absolute: relative ones are meant from the folder of the
// configuration file. URLs stay as they are.
func resolve(dir, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if scheme.MatchString(path) || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, filepath.FromSlash(path))
}

// plain is the cause of a file error without operation and path.
func plain(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
