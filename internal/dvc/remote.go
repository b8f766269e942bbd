package dvc

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// A Remote keeps objects by their MD5.
type Remote interface {
	// Open streams the object with that MD5, which ends in .dir for the listing
	// of a directory. One that is not there is [os.ErrNotExist].
	Open(ctx context.Context, md5 string) (io.ReadCloser, error)
	// String names the remote in messages, without secrets.
	String() string
}

// remote makes the remote of that name; the default one for "".
func (r *Repo) remote(name string) (Remote, error) {
	configFile := filepath.Join(r.root, ".dvc", "config")
	fail := func(problem, remedy string) (Remote, error) {
		return nil, &Error{File: configFile, Problem: problem, Remedy: remedy, Kind: ErrConfig}
	}
	if name == "" {
		name = r.config.core["remote"]
	}
	if name == "" {
		return fail("names no default remote", "choose one by dvc remote default NAME")
	}
	url, ok := r.config.remotes[name]["url"]
	if !ok || url == "" {
		return fail(fmt.Sprintf("there is no remote %q with a url", name), "add it by dvc remote add "+name+" URL")
	}
	shown := fmt.Sprintf("remote %q", name)
	if strings.HasPrefix(url, "s3://") {
		remote, err := newBucket(shown, url, r.config.remotes[name], r.getenv)
		if err != nil {
			return fail(shown+": "+err.Error(), "correct it by dvc remote modify "+name)
		}
		return remote, nil
	}
	if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
		remote, err := newWeb(shown, url, r.config.remotes[name])
		if err != nil {
			return fail(shown+": "+err.Error(), "correct it by dvc remote modify "+name)
		}
		return remote, nil
	}
	path := strings.TrimPrefix(url, "file://")
	if kind := scheme.FindString(path); kind != "" {
		return fail(fmt.Sprintf("remote %q is of the kind %s, which Petal cannot pull from", name, kind),
			"pull the file by dvc pull, or choose a remote in a folder, in S3 or behind HTTP(S)")
	}
	return folder{name: shown, dir: path}, nil
}

// folder is a remote in a folder of this machine. The cache is one too: below says
// where in its folder.
type folder struct{ name, dir, below string }

// Open opens the object's file.
func (f folder) Open(_ context.Context, md5 string) (io.ReadCloser, error) {
	return f.object(md5).open()
}

// object is where DVC 3 keeps an object.
func (f folder) object(md5 string) place {
	return place{f.dir, filepath.Join(f.below, "files", "md5", md5[:2], md5[2:])}
}

func (f folder) String() string { return f.name + " (" + filepath.Join(f.dir, f.below) + ")" }
