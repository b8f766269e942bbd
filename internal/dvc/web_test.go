package dvc

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// A store keeps what is PUT, as the servers do that DVC pushes to, for those with
// the right header.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte
	header  http.Header // that requests must have
	seen    []string
	fail    func(w http.ResponseWriter, object []byte) bool // answers in its place
}

// requests are those since it was asked last.
func (s *store) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	for name := range s.header {
		if r.Header.Get(name) != s.header.Get(name) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	object, known := s.objects[r.URL.Path]
	switch {
	case r.Method == http.MethodPut:
		s.objects[r.URL.Path], _ = io.ReadAll(r.Body)
	case s.fail != nil && s.fail(w, object):
	case !known:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(object)))
		_, _ = w.Write(object)
	}
}

// The real DVC pushes to and pulls from the server that Petal pulls from, with
// both ways to prove who one is.
func TestPullOverHTTP(t *testing.T) {
	messages := golden.New(t)
	r := newReal(t)
	basic := http.Request{Header: http.Header{}}
	basic.SetBasicAuth("mary", "hunter2")
	for name, test := range map[string]struct {
		header http.Header
		config []string
	}{
		"open":   {http.Header{}, nil},
		"basic":  {basic.Header, []string{"auth", "basic", "user", "mary", "password", "hunter2"}},
		"custom": {http.Header{"X-Key": {"hunter2"}}, []string{"auth", "custom", "custom_auth_header", "X-Key", "password", "hunter2"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := &store{objects: map[string][]byte{}, header: test.header}
			web := httptest.NewServer(server)
			defer web.Close()
			dir := t.TempDir()
			r.run(dir, r.dvc, "init", "--quiet", "--no-scm")
			r.run(dir, r.dvc, "remote", "add", "--quiet", "--default", "web", web.URL+"/some/path")
			r.run(dir, r.dvc, "remote", "modify", "web", "method", "PUT")
			for i := 0; i < len(test.config); i += 2 {
				r.run(dir, r.dvc, "remote", "modify", "--local", "web", test.config[i], test.config[i+1])
			}
			file := writeFile(t, dir, "iris.csv", "a,y\n1,x\n")
			writeFile(t, dir, "set/train.csv", "a,y\n2,x\n")
			r.run(dir, r.dvc, "add", "--quiet", "iris.csv", "set")
			r.run(dir, r.dvc, "push", "--quiet")
			require.Len(t, server.objects, 3)
			clean := func() {
				for _, path := range []string{".dvc/cache", "iris.csv", "set"} {
					require.NoError(t, os.RemoveAll(filepath.Join(dir, path)))
				}
			}

			clean()
			repo, err := Open(dir, Options{Getenv: environment(r.home)})
			require.NoError(t, err)
			pulled, err := repo.Pull(t.Context(), file+".dvc")
			require.NoError(t, err)
			require.Equal(t, "remote", pulled.From)
			_, err = repo.PullFile(t.Context(), filepath.Join(dir, "set.dvc"), "train.csv")
			require.NoError(t, err)
			require.Equal(t, upToDate, r.run(dir, r.dvc, "status"))
			clean()
			r.run(dir, r.dvc, "pull", "--quiet")

			if len(test.config) == 0 {
				return
			}
			clean()
			r.run(dir, r.dvc, "remote", "modify", "--local", "web", "password", "wrong")
			repo, err = Open(dir, Options{Getenv: environment(r.home)})
			require.NoError(t, err)
			server.requests()
			_, err = repo.Pull(t.Context(), file+".dvc")
			require.ErrorContains(t, err, file)
			require.NotErrorIs(t, err, errTransient)
			messages.Add(name, lasting(err, dir, "DIR"))
			require.Len(t, server.requests(), 1, "another try does not help")
		})
	}
}

// webCheckout is a checkout whose remote is a server.
func webCheckout(t *testing.T) (*checkout, *store, func() (Pulled, error)) {
	t.Helper()
	c := newCheckout(t)
	server := &store{objects: map[string][]byte{"/files/md5/01/3d0da08d6506664ce640459139176b": c.content}}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	address := strings.Replace(web.URL, "http://", "http://mary:hunter2@", 1)
	writeFile(t, c.dir, ".dvc/config", "[core]\nremote = storage\n['remote \"storage\"']\nurl = "+address+"\n")
	return c, server, func() (Pulled, error) {
		repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
		require.NoError(t, err)
		repo.pause = time.Millisecond
		return repo.Pull(t.Context(), c.pointer)
	}
}

func TestWebFailuresThatPass(t *testing.T) {
	messages := golden.New(t)
	for name, fail := range map[string]func(w http.ResponseWriter, object []byte){
		"5xx":      func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusBadGateway) },
		"too many": func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusTooManyRequests) },
		"broken off": func(w http.ResponseWriter, object []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(object)))
			_, _ = w.Write(object[:1000])
			_ = http.NewResponseController(w).Flush() // what breaks before the answer net/http asks for again by itself
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, server, pull := webCheckout(t)
			failures := tries - 1 // guarded by the server's lock
			server.fail = func(w http.ResponseWriter, object []byte) bool {
				failures--
				if failures < 0 {
					return false
				}
				fail(w, object)
				return true
			}
			pulled, err := pull()
			require.NoError(t, err)
			require.Equal(t, "remote", pulled.From)
			c.requireWhole(t)

			require.NoError(t, os.Remove(c.target))
			require.NoError(t, os.RemoveAll(filepath.Join(c.dir, ".dvc", "cache")))
			before := c.files(t)
			failures = 1000
			server.requests()
			_, err = pull()
			require.ErrorIs(t, err, errTransient)
			require.ErrorContains(t, err, c.target)
			messages.Add(name, lasting(err, c.dir, "DIR"))
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "\n")
			require.Len(t, server.requests(), tries)
			require.Equal(t, before, c.files(t))
		})
	}
}

func TestWebFailuresThatStay(t *testing.T) {
	c, server, pull := webCheckout(t)
	for path, object := range server.objects {
		server.objects[path] = []byte(strings.ToUpper(string(object)))
	}
	_, err := pull()
	require.ErrorIs(t, err, ErrCorrupt)
	require.NotContains(t, err.Error(), "hunter2")
	require.Len(t, server.requests(), 1)
	require.NoFileExists(t, c.target)

	clear(server.objects)
	_, err = pull()
	require.ErrorIs(t, err, ErrMissing)
	require.Len(t, server.requests(), 1, "what is not there is asked for once")
}

// A server that falls silent, before its answer or within it, does not hold a
// training forever.
func TestWebSilence(t *testing.T) {
	messages := golden.New(t)
	silent := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/begun/") {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("a,y"))
			_ = http.NewResponseController(w).Flush()
		}
		<-silent
	}))
	defer server.Close()
	defer close(silent)
	remote, err := newWeb("web", server.URL, nil)
	require.NoError(t, err)
	remote.idle = 50 * time.Millisecond
	_, err = remote.Open(t.Context(), irisMD5)
	require.ErrorIs(t, err, errTransient)
	messages.Add("before the answer", lasting(err))

	remote, err = newWeb("web", server.URL+"/begun", nil)
	require.NoError(t, err)
	remote.idle = 50 * time.Millisecond
	body, err := remote.Open(t.Context(), irisMD5)
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.Equal(t, "a,y", string(content))
	require.ErrorIs(t, err, errTransient)
	messages.Add("within the answer", err)
	require.NoError(t, body.Close())

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	remote.idle = time.Minute
	remote.base.Path = ""
	_, err = remote.Open(ctx, irisMD5)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, errTransient, "who interrupts wants no other try")
}

// Credentials stay with the host that they are for.
func TestWebRedirects(t *testing.T) {
	var got http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer first.Close()
	remote, err := newWeb("web", first.URL, map[string]string{"auth": "custom", "custom_auth_header": "X-Key", "password": "hunter2"})
	require.NoError(t, err)
	body, err := remote.Open(t.Context(), irisMD5)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Empty(t, got.Get("X-Key"))
}

func TestWebFaults(t *testing.T) {
	messages := golden.New(t)
	for name, keys := range map[string]string{
		"unknown auth": "url = http://localhost\nauth = digest",
		"no user":      "url = http://localhost\nauth = basic\npassword = hunter2",
		"no header":    "url = http://localhost\nauth = custom\npassword = hunter2",
		"no host":      "url = http://",
	} {
		err := requireBadRemote(t, keys)
		require.NotContains(t, err.Error(), "hunter2")
		messages.Add(name, err)
	}
}

// requireBadRemote returns the fault of a remote with such keys.
func requireBadRemote(t *testing.T, keys string) error {
	t.Helper()
	dir := t.TempDir()
	path := writeFile(t, dir, ".dvc/config", "[core]\nremote = a\n['remote \"a\"']\n"+keys+"\n")
	repo, err := Open(dir, Options{Getenv: environment(dir)})
	require.NoError(t, err)
	_, err = repo.remote("")
	requireFault(t, err, ErrConfig, path)
	return lasting(err, dir, "DIR")
}
