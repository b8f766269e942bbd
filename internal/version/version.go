// Package version says which build this is.
package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// release is the version that this code is, or becomes: the first heading with a
// number in CHANGELOG.md.
const release = "0.1.0"

// Set by the linker where a build has no Git around it, or another version:
//
//	go build -ldflags "-X …/internal/version.version=1.0.0 -X …/internal/version.revision=abc"
var (
	version  string
	revision string
)

// Info describes a build.
type Info struct {
	Version   string // such as "1.2.0"
	Revision  string // the Git commit, with "+dirty" where files were changed; "unknown" where nobody knows
	GoVersion string
}

// Current returns what is known of this build: what the linker was told, or
// else the release and the commit that Go noted.
func Current() Info {
	info := Info{Version: cmp.Or(version, release), Revision: revision, GoVersion: runtime.Version()}
	if build, ok := debug.ReadBuildInfo(); ok {
		info.Revision = cmp.Or(info.Revision, vcsRevision(build.Settings))
	}
	info.Revision = cmp.Or(info.Revision, "unknown")
	return info
}

func vcsRevision(settings []debug.BuildSetting) string {
	var commit, dirty string
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if commit == "" {
		return ""
	}
	return commit + dirty
}

// String is one line for a terminal.
func (i Info) String() string {
	return i.Version + " (revision " + i.Revision + ", " + i.GoVersion + ")"
}
