package directory

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/conformance/registrytest"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) registrytest.Subject {
		s := open(t, t.TempDir())
		return registrytest.Subject{
			Registry: s,
			ReadRun: func(_ context.Context, id string) (registry.Record, registry.Status, error) {
				return s.ReadRun(id)
			},
			ReadFile: func(_ context.Context, id, path string) ([]byte, error) { return os.ReadFile(fileOf(s, id, path)) },
			LoseFile: func(_ context.Context, id, path string) error { return os.Remove(fileOf(s, id, path)) },
			LoseModel: func(_ context.Context, v registry.Version) error {
				folder := filepath.Join(s.Root(), v.Source)
				return errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o750))
			},
			Break: func() { writeIndex(t, s, `{"format":1,"models":{`) },
		}
	})
}

func fileOf(s *Store, run, path string) string {
	return filepath.Join(s.Root(), runsDir, run, filesDir, filepath.FromSlash(path))
}

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(Options{Root: root, Experiment: "test"})
	require.NoError(t, err)
	return s
}

func writeIndex(t *testing.T, s *Store, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(s.Root(), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(s.Root(), indexFile), []byte(text), 0o600))
}

// register does what training does. It takes no test: a process of its own
// calls it, too.
func register(ctx context.Context, s *Store, onnx string) (registry.Version, error) {
	run, err := s.StartRun(ctx, registry.RunSpec{Name: "test"})
	if err != nil {
		return registry.Version{}, err
	}
	model, err := run.LogModel(ctx, registrytest.ModelDir([]byte(onnx)))
	if err != nil {
		return registry.Version{}, err
	}
	v, err := s.Register(ctx, registry.Registration{Name: "iris", Model: model})
	if err != nil {
		return registry.Version{}, err
	}
	return v, errors.Join(run.Finish(ctx, registry.Finished), s.SetAlias(ctx, "iris", "champion", v.Number))
}

func TestReadingMakesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "mlruns")
	_, err := open(t, root).Resolve(t.Context(), "iris", "champion")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.NoDirExists(t, root)
}

// lasting gives the message of an error without what differs from run to run: each text,
// such as a temporary folder, is replaced by the one after it.
func lasting(err error, oldnew ...string) error {
	return errors.New(strings.NewReplacer(oldnew...).Replace(err.Error()))
}

func TestDamagedIndex(t *testing.T) {
	messages := golden.New(t)
	const version = `{"number":%s,"model_id":"m-00000000000000000000000000000000","tags":{}}`
	one := strings.Replace(version, "%s", "1", 1)
	for _, test := range []struct{ name, index string }{
		{"empty", ""},
		{"cut off", `{"format":1,"models":{"iris":{`},
		{"another file", `{"a":1}`},
		{"alias of nothing", `{"format":1,"models":{"iris":{"aliases":{"champion":2},"versions":[` + one + `]}}}`},
		{"order", `{"format":1,"models":{"iris":{"aliases":{},"versions":[` + one + `,` + one + `]}}}`},
		{"path for a model", `{"format":1,"models":{"iris":{"aliases":{},"versions":[{"number":1,"model_id":"../../etc","tags":{}}]}}}`},
		{"null", `{"format":1,"models":{"iris":null}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			writeIndex(t, s, test.index)
			_, err := s.Resolve(t.Context(), "iris", "champion")
			require.ErrorIs(t, err, registry.ErrUnavailable)
			require.ErrorContains(t, err, filepath.Join(s.Root(), indexFile))
			messages.Add(test.name, lasting(err, s.Root(), "DIR"))
			require.NotContains(t, err.Error(), "\n")

			_, err = register(t.Context(), s, "x")
			require.ErrorIs(t, err, registry.ErrUnavailable)
			content, err := os.ReadFile(filepath.Join(s.Root(), indexFile))
			require.NoError(t, err)
			require.Equal(t, test.index, string(content), "a damaged index is not written over")
		})
	}
}

func TestNewerFormat(t *testing.T) {
	messages := golden.New(t)
	s := open(t, t.TempDir())
	writeIndex(t, s, `{"format":2,"models":[]}`)
	_, err := s.Resolve(t.Context(), "iris", "champion")
	require.ErrorIs(t, err, registry.ErrUnavailable)
	writeIndex(t, s, `{"format":2,"models":{}}`)
	_, err = s.Resolve(t.Context(), "iris", "champion")
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, filepath.Join(s.Root(), indexFile))
	messages.Add("newer", lasting(err, s.Root(), "DIR"))
}

func TestUnwritableFolder(t *testing.T) {
	messages := golden.New(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := open(t, filepath.Join(file, "mlruns"))
	_, err := s.StartRun(t.Context(), registry.RunSpec{Name: "x"})
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, s.Root())
	messages.Add("write", lasting(err, filepath.Dir(file), "DIR"))
	_, err = s.Resolve(t.Context(), "iris", "champion")
	require.ErrorIs(t, err, registry.ErrUnavailable)
	messages.Add("read", lasting(err, filepath.Dir(file), "DIR"))
}

func TestLinksThatLeadOutAreRefused(t *testing.T) {
	messages := golden.New(t)
	s := open(t, t.TempDir())
	v, err := register(t.Context(), s, "x")
	require.NoError(t, err)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(s.Root(), v.Source, "link.onnx")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), filepath.Join(s.Root(), v.Source, "folder")))
	for _, path := range []string{"link.onnx", "folder/secret"} {
		_, err = s.Open(t.Context(), v, path)
		require.ErrorIs(t, err, registry.ErrInvalid, "waiting does not mend it")
		require.ErrorContains(t, err, filepath.Join(v.Source, path))
		messages.Add(path, lasting(err, s.Root(), "DIR", v.Source, "MODEL"))
	}
	files, err := s.Files(t.Context(), v)
	require.NoError(t, err)
	require.Len(t, files, 7, "the link is none of them")

	for _, source := range []string{"", "..", "models/../..", "/etc", "models/m-0", "models/.tmp-" + newID()} {
		_, err := s.Open(t.Context(), registry.Version{Source: source}, "MLmodel")
		require.ErrorIs(t, err, registry.ErrInvalid, "%q", source)
	}
}

func TestNamedPipeIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	v, err := register(t.Context(), s, "onnx")
	require.NoError(t, err)
	require.NoError(t, syscall.Mkfifo(filepath.Join(s.Root(), v.Source, "pipe.onnx"), 0o600))
	opened := make(chan error, 1)
	go func() {
		_, err := s.Open(t.Context(), v, "pipe.onnx")
		opened <- err
	}()
	select {
	case err := <-opened:
		require.ErrorIs(t, err, registry.ErrInvalid)
	case <-time.After(10 * time.Second):
		t.Fatal("waits for somebody to write into the pipe")
	}
}

// TestFinishReadsBack changes what is on disk behind the run's back.
func TestFinishReadsBack(t *testing.T) {
	messages := golden.New(t)
	for _, test := range []struct{ name, old, replacement string }{
		{"param", `"C": "1.0"`, `"C": "2.0"`},
		{"tag", `"a": "b"`, `"x": "b"`},
		{"metric", `"value": 0.125`, `"value": 0.25`},
		{"broken", `"params"`, `params`},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			s := open(t, t.TempDir())
			run, err := s.StartRun(ctx, registry.RunSpec{Name: "x", Tags: map[string]string{"a": "b"}})
			require.NoError(t, err)
			require.NoError(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "1.0"}}))
			require.NoError(t, run.LogMetrics(ctx, []registry.Metric{{Key: "loss", Value: 0.125, Step: 7, Time: time.UnixMilli(1700000000000)}}))
			path := filepath.Join(s.Root(), runsDir, run.ID(), runFile)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(data), test.old)
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), test.old, test.replacement, 1)), 0o600))
			err = run.Finish(ctx, registry.Finished)
			require.ErrorIs(t, err, registry.ErrUnavailable)
			require.ErrorContains(t, err, run.ID())
			messages.Add(test.name, lasting(err, s.Root(), "DIR", run.ID(), "RUN"))
			require.NoError(t, run.Finish(ctx, registry.Failed))
		})
	}
}

// TestRunIsReadable: the file is for people, too.
func TestRunIsReadable(t *testing.T) {
	s := open(t, t.TempDir())
	run, err := s.StartRun(t.Context(), registry.RunSpec{Name: "first", User: "tester"})
	require.NoError(t, err)
	require.NoError(t, run.LogParams(t.Context(), []registry.Param{{Key: "C", Value: "1.0"}}))
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	data, err := os.ReadFile(filepath.Join(s.Root(), runsDir, run.ID(), runFile))
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(data, &doc))
	require.Equal(t, "FINISHED", doc["status"])
	require.Equal(t, "test", doc["experiment"])
	require.Equal(t, map[string]any{"C": "1.0"}, doc["params"])
	require.Contains(t, string(data), "\n  \"params\": {\n")
}

func TestLeftoversAreSwept(t *testing.T) {
	s := open(t, t.TempDir())
	models := filepath.Join(s.Root(), modelsDir)
	stale, fresh := filepath.Join(models, ".tmp-old"), filepath.Join(models, ".tmp-new")
	for _, dir := range []string{stale, fresh} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o750))
	}
	old := time.Now().Add(-2 * leftoverAge)
	require.NoError(t, os.Chtimes(stale, old, old))
	_, err := register(t.Context(), s, "x")
	require.NoError(t, err)
	require.NoDirExists(t, stale)
	require.DirExists(t, fresh, "somebody may be writing it")
}

// Of those who move an alias from one version at once, one alone succeeds.
func TestMovesAreAtomic(t *testing.T) {
	ctx := t.Context()
	root := t.TempDir()
	stores := []*Store{open(t, root), open(t, root)}
	for range 9 {
		_, err := register(ctx, stores[0], "x")
		require.NoError(t, err)
	}
	at := "9"
	for range 5 {
		moved := make([]bool, 9)
		var wg sync.WaitGroup
		for i := range moved {
			if to := strconv.Itoa(i + 1); to != at {
				wg.Go(func() {
					err := stores[i%2].MoveAlias(ctx, registry.Move{Name: "iris", Alias: "champion", From: at, To: to, Keep: "previous"})
					moved[i] = err == nil
					if err != nil {
						assert.ErrorIs(t, err, registry.ErrChanged)
					}
				})
			}
		}
		wg.Wait()
		v, err := stores[0].Resolve(ctx, "iris", "champion")
		require.NoError(t, err)
		previous, err := stores[0].Resolve(ctx, "iris", "previous")
		require.NoError(t, err)
		require.Equal(t, at, previous.Number)
		for i, ok := range moved {
			require.Equal(t, strconv.Itoa(i+1) == v.Number, ok, "version %d", i+1)
		}
		at = v.Number
	}
}

const writerVariable = "PETAL_TEST_REGISTRY_WRITER"

// TestWriterProcess is the other process of TestKilledWriters: it registers
// model after model until it is killed.
func TestWriterProcess(t *testing.T) {
	root := os.Getenv(writerVariable)
	if root == "" {
		return // in the ordinary run there is nothing to do
	}
	s := open(t, root)
	_, err := os.Stdout.WriteString("begin\n")
	require.NoError(t, err)
	for {
		_, err := register(t.Context(), s, strings.Repeat("onnx", 1<<14))
		require.NoError(t, err)
	}
}

// TestKilledWriters kills two writing processes at a time, again and again,
// while a reader follows the alias. Whatever the reader sees is whole.
func TestKilledWriters(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	_, err := register(t.Context(), s, strings.Repeat("onnx", 1<<14))
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	reads := make(chan error, 1)
	go func() { reads <- follow(ctx, s) }()
	for round := range 12 {
		writers := []*exec.Cmd{startWriter(t, root), startWriter(t, root)}
		time.Sleep(time.Duration(5+11*round) * time.Millisecond)
		for _, cmd := range writers {
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
			require.Equal(t, -1, cmd.ProcessState.ExitCode(), "it was killed, not failed")
		}
	}
	stop()
	require.NoError(t, <-reads)

	versions, err := s.Versions(t.Context(), "iris")
	require.NoError(t, err)
	require.Greater(t, len(versions), 1, "the writers got somewhere")
	for i, v := range versions {
		require.Equal(t, strconv.Itoa(i+1), v.Number)
		require.NoError(t, readWhole(t.Context(), s, v))
	}
	_, err = register(t.Context(), s, "afterwards")
	require.NoError(t, err, "no lock is left behind")
}

// startWriter starts a writer and waits until it begins to write.
func startWriter(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriterProcess$")
	cmd.Env = append(os.Environ(), writerVariable+"="+root)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(stdout, make([]byte, len("begin\n")))
	require.NoError(t, err)
	return cmd
}

// follow reads what the alias points at until it is told to stop.
func follow(ctx context.Context, s *Store) error {
	for ctx.Err() == nil {
		v, err := s.Resolve(context.WithoutCancel(ctx), "iris", "champion")
		if err == nil {
			err = readWhole(context.WithoutCancel(ctx), s, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readWhole(ctx context.Context, s *Store, v registry.Version) error {
	for _, path := range []string{mlmodel.ModelFile, mlmodel.ONNXFile} {
		body, err := s.Open(ctx, v, path)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
		if path == mlmodel.ModelFile {
			if _, err := mlmodel.Parse(content); err != nil {
				return err
			}
		} else if size := v.Tags[registry.TagSize]; strconv.Itoa(len(content)) != size {
			return errors.New(v.Source + ": " + strconv.Itoa(len(content)) + " bytes of " + size)
		}
	}
	return nil
}

// A poll must neither wait for ever nor fill the memory.
func TestIndexThatIsNoFile(t *testing.T) {
	messages := golden.New(t)
	for name, put := range map[string]func(path string) error{
		"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link to a pipe": func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
		},
		"a device":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"a link out": func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a folder":   func(path string) error { return os.Mkdir(path, 0o700) },
		"a huge file": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 600<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Options{Root: t.TempDir()})
			require.NoError(t, err)
			require.NoError(t, put(filepath.Join(s.Root(), indexFile)))
			ended := make(chan error, 1)
			go func() {
				_, err := s.Resolve(context.Background(), "iris", "champion")
				ended <- err
			}()
			select {
			case err := <-ended:
				require.ErrorIs(t, err, registry.ErrUnavailable)
				require.ErrorContains(t, err, filepath.Join(s.Root(), indexFile))
				messages.Add(name, lasting(err, s.Root(), "DIR"))
			case <-time.After(5 * time.Second):
				t.Fatal("the read does not end")
			}
		})
	}
}
