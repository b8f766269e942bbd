package training

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/petal-ml/petal/internal/regularfile"
)

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Commit returns the Git commit that is checked out at or above a folder, read
// from .git itself, else the one that this program was built from, else "".
func Commit(dir string) string {
	if hash := headOf(findGit(dir)); hash != "" {
		return hash
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && commitHash.MatchString(setting.Value) {
			return setting.Value
		}
	}
	return ""
}

// findGit returns the Git folder of the work tree at or above dir. In a linked
// work tree .git is a file that names it.
func findGit(dir string) string {
	at, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		git := filepath.Join(at, ".git")
		info, err := os.Stat(git)
		switch {
		case err == nil && info.IsDir():
			return git
		case err == nil:
			named, ok := strings.CutPrefix(readLine(git), "gitdir: ")
			if !ok {
				return ""
			}
			if !filepath.IsAbs(named) {
				named = filepath.Join(at, named)
			}
			return named
		}
		if at == filepath.Dir(at) {
			return ""
		}
		at = filepath.Dir(at)
	}
}

// headOf resolves HEAD: a hash, or a reference in a file of its own or in
// packed-refs. Those of linked work trees stand in the folder named by commondir.
func headOf(git string) string {
	if git == "" {
		return ""
	}
	ref, symbolic := strings.CutPrefix(readLine(filepath.Join(git, "HEAD")), "ref: ")
	if !symbolic {
		return onlyHash(ref)
	}
	if !filepath.IsLocal(ref) {
		return ""
	}
	common := git
	if dir := readLine(filepath.Join(git, "commondir")); dir != "" {
		common = filepath.Join(git, dir)
		if filepath.IsAbs(dir) {
			common = dir
		}
	}
	if hash := onlyHash(readLine(filepath.Join(common, filepath.FromSlash(ref)))); hash != "" {
		return hash
	}
	packed, err := regularfile.Read(filepath.Join(common, "packed-refs"), maxRefsBytes)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(packed)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return onlyHash(hash)
		}
	}
	return ""
}

// maxRefsBytes is far above all references of a repository.
const maxRefsBytes = 64 << 20

// readLine returns the text of a file of one line, "" where there is none.
func readLine(path string) string {
	text, err := regularfile.Read(path, maxRefsBytes)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func onlyHash(s string) string {
	if commitHash.MatchString(s) {
		return s
	}
	return ""
}
