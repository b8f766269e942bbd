package dvc

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// A link in the repository that leads out of it is followed neither for reading nor
// for writing, wherever it stands.
func TestNothingLeavesTheRepository(t *testing.T) {
	for name, test := range map[string]struct {
		link   string // what is a link to the folder outside, or to the file in it
		file   string // the file in that folder, where the link is one to a file
		path   string // what the pointer tracks
		fails  bool
		before string // content of the file outside
	}{
		"a folder on the way":            {link: "data/sub", path: "sub/authorized_keys", fails: true},
		"a folder, over a file":          {link: "data/sub", path: "sub/mine", fails: true, before: "mine"},
		"a folder, over a recorded file": {link: "data/sub", path: "sub/mine", fails: true, before: "recorded"},
		"a dangling link for a file":     {link: "data/iris.csv", file: "new", path: "iris.csv", fails: true},
		"a link for a file":              {link: "data/iris.csv", file: "mine", path: "iris.csv", fails: true, before: "mine"},
		"the pointer":                    {link: "data/iris.csv.dvc", file: "mine", fails: true, before: pointer},
		"the folder of the pointer":      {link: "data", fails: true},
		"the configuration":              {link: ".dvc/config", file: "mine", fails: true, before: "[core]\nremote = storage\n['remote \"storage\"']\nurl = ../store\n"},
		"the cache":                      {link: ".dvc/cache", path: "iris.csv"},
		"a folder of the cache":          {link: ".dvc/cache/files", path: "iris.csv"},
		"an object of the remote":        {link: "store/files/md5/01/3d0da08d6506664ce640459139176b", file: "mine", path: "iris.csv", fails: true, before: "iris"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t)
			outside := t.TempDir()
			if test.before == "iris" {
				test.before = string(c.content)
			}
			if test.before == "recorded" { // the cache has it, so that it could be replaced
				test.before = "a,y\n1,x\n"
				digest := digestOf([]byte(test.before))
				writeFile(t, c.dir, filepath.Join(".dvc", "cache", "files", "md5", digest[:2], digest[2:]), test.before)
			}
			if test.path != "" {
				require.NoError(t, os.WriteFile(c.pointer, []byte(strings.Replace(pointer, "path: iris.csv", "path: "+test.path, 1)), 0o600))
			}
			inside := "mine"
			if test.link == "data" {
				inside, test.before = "iris.csv.dvc", pointer
			}
			if test.before != "" {
				writeFile(t, outside, inside, test.before)
			}
			link := filepath.Join(c.dir, filepath.FromSlash(test.link))
			require.NoError(t, os.RemoveAll(link))
			require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o750))
			require.NoError(t, os.Symlink(filepath.Join(outside, test.file), link))

			repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
			if err == nil {
				_, err = repo.Pull(t.Context(), c.pointer)
			}
			if test.fails {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				c.requireWhole(t)
			}
			entries, err := os.ReadDir(outside)
			require.NoError(t, err)
			if test.before == "" {
				require.Empty(t, entries)
				return
			}
			require.Len(t, entries, 1)
			after, err := os.ReadFile(filepath.Join(outside, inside))
			require.NoError(t, err)
			require.Equal(t, test.before, string(after))
		})
	}
}

// Links that stay in the repository work, and so does the absolute link into its cache
// that DVC leaves where cache.type is symlink.
func TestLinksWithinTheRepository(t *testing.T) {
	c := newCheckout(t)
	require.NoError(t, os.Mkdir(filepath.Join(c.dir, "real"), 0o750))
	require.NoError(t, os.Symlink(filepath.Join("..", "real"), filepath.Join(c.dir, "data", "sub")))
	require.NoError(t, os.WriteFile(c.pointer, []byte(strings.Replace(pointer, "path: iris.csv", "path: sub/iris.csv", 1)), 0o600))
	_, err := c.pull(t)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(c.dir, "real", "iris.csv"))

	c = newCheckout(t)
	_, err = c.pull(t)
	require.NoError(t, err)
	require.NoError(t, os.Remove(c.target))
	require.NoError(t, os.Symlink(c.cached, c.target))
	pulled, err := c.pull(t)
	require.NoError(t, err)
	require.Equal(t, "workspace", pulled.From)
}

// Whatever stands in the place of a file, it is refused or passed over at once: what
// waits for a writer, what has no end, what is far too large.
func TestHostileFiles(t *testing.T) {
	files := map[string]string{
		"pointer": "data/iris.csv.dvc", "config": ".dvc/config", "local config": ".dvc/config.local",
		"object": "store/files/md5/01/3d0da08d6506664ce640459139176b",
		"cached": ".dvc/cache/files/md5/01/3d0da08d6506664ce640459139176b", "target": "data/iris.csv",
	}
	kinds := map[string]func(string) error{
		"fifo":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"zero":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder": func(path string) error { return os.Mkdir(path, 0o750) },
		"sparse": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	}
	for file, name := range files {
		for kind, put := range kinds {
			t.Run(file+"/"+kind, func(t *testing.T) {
				c := newCheckout(t)
				path := filepath.Join(c.dir, filepath.FromSlash(name))
				require.NoError(t, os.RemoveAll(path))
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
				require.NoError(t, put(path))
				done := attempt(func() error {
					repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
					if err == nil {
						_, err = repo.Pull(t.Context(), c.pointer)
					}
					return err
				})
				select {
				case err := <-done:
					if file == "cached" {
						require.NoError(t, err, "the remote has it")
						c.requireWhole(t)
						return
					}
					require.Error(t, err)
				case <-time.After(20 * time.Second):
					require.Fail(t, "it does not end")
				}
			})
		}
	}
}

// attempt runs something that may hang.
func attempt(run func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	return done
}

// A server that sends a byte now and then, or no end of them, does not hold a training
// for ever: not over HTTP and not as S3.
func TestServersThatDrip(t *testing.T) {
	const idle = 300 * time.Millisecond
	drip := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "400")
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
		for range 400 {
			if _, err := fmt.Fprint(w, "x"); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}))
	defer drip.Close()
	defer drip.CloseClientConnections()
	overHTTP, err := newWeb("web", drip.URL, nil)
	require.NoError(t, err)
	overHTTP.idle = idle
	asS3, err := newBucket("s3", "s3://bucket/path", map[string]string{"endpointurl": drip.URL, "access_key_id": "a", "secret_access_key": "b", "region": "x"}, os.Getenv)
	require.NoError(t, err)
	asS3.idle = idle
	for name, remote := range map[string]Remote{"http": overHTTP, "s3": asS3} {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t)
			repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
			require.NoError(t, err)
			started := time.Now()
			_, err = repo.install(t.Context(), remote, Pointer{MD5: irisMD5, Size: 3858, Path: "iris.csv"}, place{c.dir, "data/iris.csv"}, 0o666)
			require.ErrorIs(t, err, errTransient)
			require.Regexp(t, `(bytes came within|nothing came for) 300ms`, err.Error())
			require.Less(t, time.Since(started), 10*time.Second)
			require.NoFileExists(t, c.target)
		})
	}
}

// What gets on is let: each while has its bytes, however long all of it takes.
func TestServersThatAreSlow(t *testing.T) {
	const idle, parts = 2 * time.Second, 6
	part := make([]byte, progressBytes)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range parts {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(idle / 4)
		}
	}))
	defer slow.Close()
	remote, err := newWeb("web", slow.URL, nil)
	require.NoError(t, err)
	remote.idle = idle
	body, err := remote.Open(t.Context(), irisMD5)
	require.NoError(t, err)
	data, err := readAll(body, parts*progressBytes)
	require.NoError(t, err)
	require.Len(t, data, parts*progressBytes)
	require.NoError(t, body.Close())
}

// A stream without end is given up soon after what the pointer says.
func TestServerWithoutEnd(t *testing.T) {
	part := make([]byte, 1<<20)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	defer endless.CloseClientConnections()
	messages := golden.New(t)
	c := newCheckout(t)
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, ".dvc", "config"), []byte("[core]\nremote = web\n['remote \"web\"']\nurl = "+endless.URL+"\n"), 0o600))
	_, err := c.pull(t)
	require.ErrorContains(t, err, c.target)
	require.ErrorContains(t, err, strconv.Itoa(3858+overlong), "the bound")
	messages.Add("no end", lasting(err, c.dir, "DIR"))
	require.NoFileExists(t, c.target)
}
