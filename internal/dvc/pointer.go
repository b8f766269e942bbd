package dvc

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Pointer is what a .dvc file says of the one file or directory that it tracks.
type Pointer struct {
	MD5    string // 32 lower-case hex digits: of the file, or of the directory's listing
	Size   int64  // in bytes, of a directory those of all files; -1 where the pointer does not say
	Path   string // slash-separated, relative to the pointer's folder
	Remote string // the remote to take it from; empty for the default one
	Dir    bool   // a directory is tracked
	Files  int    // how many files are in the directory; 0 where the pointer does not say
}

// maxPointerBytes is far above any pointer to a file.
const maxPointerBytes = 1 << 20

// pointerFile is the content of a .dvc file. The keys are those that DVC 3
// accepts (dvc/schema.py, dvc/output.py); others are refused, as DVC does.
type pointerFile struct {
	Outs          []pointerOut `yaml:"outs"`
	Deps          []any        `yaml:"deps"`
	MD5           string       `yaml:"md5"`
	WDir          string       `yaml:"wdir"`
	Frozen        bool         `yaml:"frozen"`
	Locked        bool         `yaml:"locked"`
	AlwaysChanged bool         `yaml:"always_changed"`
	Desc          string       `yaml:"desc"`
	Meta          any          `yaml:"meta"`
}

type pointerOut struct {
	MD5       string   `yaml:"md5"`
	Size      *int64   `yaml:"size"`
	NFiles    *int     `yaml:"nfiles"`
	IsExec    bool     `yaml:"isexec"`
	Hash      string   `yaml:"hash"`
	Path      string   `yaml:"path"`
	Cache     *bool    `yaml:"cache"`
	Remote    string   `yaml:"remote"`
	Persist   bool     `yaml:"persist"`
	Push      *bool    `yaml:"push"`
	Desc      string   `yaml:"desc"`
	Type      string   `yaml:"type"`
	Labels    []string `yaml:"labels"`
	Meta      any      `yaml:"meta"`
	ETag      string   `yaml:"etag"`
	Checksum  string   `yaml:"checksum"`
	VersionID string   `yaml:"version_id"`
	Cloud     any      `yaml:"cloud"`
	Files     []any    `yaml:"files"`
}

var hexMD5 = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ReadPointer reads and checks the .dvc file at path, which is one of the repository.
// Its faults are [ErrPointer].
func (r *Repo) ReadPointer(path string) (Pointer, error) {
	at, err := r.inside(path, path)
	if err != nil {
		return Pointer{}, err
	}
	f, err := at.open()
	data, err := read(f, err, maxPointerBytes)
	if err != nil {
		return Pointer{}, &Error{File: path, Problem: "cannot be read: " + plain(err), Remedy: "name an existing .dvc file", Kind: ErrPointer}
	}
	p, err := ParsePointer(data)
	if err != nil {
		return Pointer{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ParsePointer reads the content of a .dvc file that tracks one file or
// directory. Its faults are [ErrPointer].
func ParsePointer(data []byte) (Pointer, error) {
	if len(data) > maxPointerBytes {
		return Pointer{}, refuse("is too large for a .dvc file", "write it anew by dvc add")
	}
	var file pointerFile
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		return Pointer{}, refuse("is not a .dvc file: "+strings.Join(strings.Fields(err.Error()), " "), "write it anew by dvc add")
	}
	if len(file.Outs) != 1 {
		return Pointer{}, refuse(fmt.Sprintf("tracks %d outputs, not one", len(file.Outs)), "track the file alone by dvc add")
	}
	if file.WDir != "" && file.WDir != "." {
		return Pointer{}, refuse(`"wdir" is not supported`, "track the file from its own folder by dvc add")
	}
	return file.Outs[0].pointer()
}

func (o pointerOut) pointer() (Pointer, error) {
	md5, dir := strings.CutSuffix(o.MD5, ".dir")
	switch {
	case o.MD5 == "":
		return Pointer{}, refuse(`has no "md5"`, "write it anew by dvc add")
	case o.Hash == "":
		// DVC 2 hashed text files with their line ends changed.
		return Pointer{}, refuse(`has no "hash: md5", so DVC 2 wrote it`, "run dvc cache migrate --dvc-files with DVC 3")
	case o.Hash != "md5":
		return Pointer{}, refuse(fmt.Sprintf("has the unknown hash %q", o.Hash), "write it anew by dvc add with DVC 3")
	case !hexMD5.MatchString(md5):
		return Pointer{}, refuse(fmt.Sprintf("%q is not an MD5 of 32 lower-case hex digits", o.MD5), "write it anew by dvc add")
	case o.Size != nil && *o.Size < 0:
		return Pointer{}, refuse(fmt.Sprintf("has the size %d", *o.Size), "write it anew by dvc add")
	case o.NFiles != nil && (!dir || *o.NFiles < 0):
		return Pointer{}, refuse(fmt.Sprintf(`has %d files ("nfiles") below the MD5 %q`, *o.NFiles, o.MD5), "write it anew by dvc add")
	}
	if err := checkPath(o.Path); err != nil {
		return Pointer{}, err
	}
	p := Pointer{MD5: md5, Size: -1, Path: o.Path, Remote: o.Remote, Dir: dir}
	if o.Size != nil {
		p.Size = *o.Size
	}
	if o.NFiles != nil {
		p.Files = *o.NFiles
	}
	return p, nil
}

// checkPath lets a pointer name files at or below its own folder only: a pointer
// from elsewhere must not make us write to /etc or to .git.
func checkPath(path string) error {
	const remedy = "name a file in the folder of the .dvc file"
	if path == "" {
		return refuse(`has no "path"`, remedy)
	}
	if strings.ContainsAny(path, "\\\x00:") || !filepath.IsLocal(filepath.FromSlash(path)) || path == "." {
		return refuse(fmt.Sprintf("path %q leads out of its folder", path), remedy)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." || strings.EqualFold(part, ".git") || strings.EqualFold(part, ".dvc") {
			return refuse(fmt.Sprintf("path %q leads out of its folder", path), remedy)
		}
	}
	return nil
}

// pointerError is an [Error] whose file the caller adds.
type pointerError struct{ problem, remedy string }

func refuse(problem, remedy string) error { return &pointerError{problem, remedy} }

func (e *pointerError) Error() string { return e.problem + "; " + e.remedy }

func (e *pointerError) Unwrap() error { return ErrPointer }
