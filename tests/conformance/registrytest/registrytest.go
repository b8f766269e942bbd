// Package registrytest holds every backend of package registry to the words of
// its interface.
package registrytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
)

// A Subject is a registry under test, and how to look behind it.
type Subject struct {
	Registry registry.Registry
	// ReadRun reads back what a run has logged, and ReadFile the content of one of
	// its files.
	ReadRun  func(ctx context.Context, id string) (registry.Record, registry.Status, error)
	ReadFile func(ctx context.Context, id, path string) ([]byte, error)
	// LoseFile removes a file of a run, and LoseModel all files of a version, as a
	// damaged disk would: the registry is not told.
	LoseFile  func(ctx context.Context, id, path string) error
	LoseModel func(ctx context.Context, v registry.Version) error
	// Break makes the registry unavailable for good.
	Break func()
}

// Run runs the suite. The factory is called once for each test; the registries
// it makes may share their content, since every test uses names of its own.
func Run(t *testing.T, factory func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"versions", testVersions},
		{"latest", testLatest},
		{"aliases", testAliases},
		{"moved aliases", testMovedAliases},
		{"lock", testLock},
		{"reserved aliases", testReservedAliases},
		{"version tags", testVersionTags},
		{"not found", testNotFound},
		{"invalid", testInvalid},
		{"model names", testModelNames},
		{"model directory", testModelDirectory},
		{"large file", testLargeFile},
		{"path traversal", testPathTraversal},
		{"parallel registrations", testParallelRegistrations},
		{"parallel aliases", testParallelAliases},
		{"run", testRun},
		{"run ends", testRunEnds},
		{"lost file", testLostFile},
		{"lost model", testLostModel},
		{"child run", testChildRun},
		{"unicode", testUnicode},
		{"special numbers", testSpecialNumbers},
		{"many entries", testManyEntries},
		{"parameters are immutable", testImmutableParams},
		{"malformed keys", testMalformedKeys},
		{"unwritable model", testUnwritableModel},
		{"parallel calls of a run", testParallelCalls},
		{"cancelled", testCancelled},
		{"unavailable", testUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, suite{Subject: factory(t), name: "iris " + unique()}) })
	}
}

// A suite is one test's registry and a model name that no other test uses.
type suite struct {
	Subject
	name string
}

func unique() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// ModelDir is a small model directory. The registry does not look into the
// model: any bytes will do.
func ModelDir(onnx []byte) mlmodel.Dir {
	return mlmodel.Dir{
		ONNX: onnx,
		Signature: mlmodel.Signature{
			Inputs:  []mlmodel.Column{{Name: "sepal length (cm)", Type: mlmodel.Double}, {Name: "ширина, \"мм\"", Type: mlmodel.Double}},
			Outputs: []mlmodel.Column{{Name: "label", Type: mlmodel.String}, {Name: "probabilities", Type: mlmodel.Map, Values: mlmodel.Float}},
		},
		InputExample: [][]float64{{5.1, 3.5}},
		Petal: &mlmodel.PetalMetadata{
			Estimator: "logistic_regression",
			Classes:   []any{"setosa", "виргиника"},
			Metrics:   map[string]float64{"val_accuracy_score": 0.97},
			Data:      mlmodel.PetalData{Path: "data/iris.csv", MD5: "d41d8cd98f00b204e9800998ecf8427e"},
			TrainedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
			Features:  []mlmodel.PetalFeature{{Name: "sepal length (cm)", Type: mlmodel.Double}},
		},
		Params: map[string]string{"C": "1.0"},
	}
}

func (s suite) start(t *testing.T) registry.Run {
	t.Helper()
	run, err := s.Registry.StartRun(t.Context(), registry.RunSpec{Name: t.Name(), User: "tester"})
	require.NoError(t, err)
	return run
}

func (s suite) logModel(t *testing.T, onnx []byte) registry.LoggedModel {
	t.Helper()
	model, err := s.start(t).LogModel(t.Context(), ModelDir(onnx))
	require.NoError(t, err)
	return model
}

func (s suite) register(t *testing.T, onnx string) registry.Version {
	t.Helper()
	v, err := s.Registry.Register(t.Context(), registry.Registration{Name: s.name, Model: s.logModel(t, []byte(onnx))})
	require.NoError(t, err)
	return v
}

func (s suite) read(t *testing.T, v registry.Version, path string) []byte {
	t.Helper()
	body, err := s.Registry.Open(t.Context(), v, path)
	require.NoError(t, err)
	defer func() { assert.NoError(t, body.Close()) }()
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	return content
}

func testVersions(t *testing.T, s suite) {
	versions, err := s.Registry.Versions(t.Context(), s.name)
	require.NoError(t, err, "an unknown model has no versions")
	require.Empty(t, versions)

	model := s.logModel(t, []byte("one"))
	before := time.Now().Add(-time.Second)
	first, err := s.Registry.Register(t.Context(), registry.Registration{
		Name: s.name, Model: model, Description: "the first, «первая»",
		Tags: map[string]string{"validation_status": "passed", registry.TagFingerprint: "f1"},
	})
	require.NoError(t, err)
	second := s.register(t, "two")

	got, err := s.Registry.Get(t.Context(), s.name, "1")
	require.NoError(t, err)
	require.Equal(t, s.name, got.Name)
	require.Equal(t, "1", got.Number)
	require.Equal(t, model.RunID, got.RunID)
	require.Equal(t, "the first, «первая»", got.Description)
	require.WithinRange(t, got.Created, before, time.Now().Add(time.Second))
	require.Empty(t, got.Aliases)
	sum := sha256.Sum256([]byte("one"))
	require.Subset(t, got.Tags, map[string]string{
		"validation_status":     "passed",
		registry.TagFingerprint: "f1",
		registry.TagSHA256:      hex.EncodeToString(sum[:]),
		registry.TagSize:        "3",
	})
	require.Equal(t, first.Source, got.Source)
	require.NotEqual(t, second.Source, got.Source)
	require.Equal(t, "two", string(s.read(t, second, mlmodel.ONNXFile)))
	require.Equal(t, "one", string(s.read(t, got, mlmodel.ONNXFile)))

	versions, err = s.Registry.Versions(t.Context(), s.name)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2"}, numbers(versions))
}

func numbers(versions []registry.Version) []string {
	list := make([]string, len(versions))
	for i, v := range versions {
		list[i] = v.Number
	}
	return list
}

func testLatest(t *testing.T, s suite) {
	model := s.logModel(t, []byte("x"))
	for range 11 { // "9" is behind "10" as text
		_, err := s.Registry.Register(t.Context(), registry.Registration{Name: s.name, Model: model})
		require.NoError(t, err)
	}
	require.NoError(t, s.Registry.SetAlias(t.Context(), s.name, "newest", "11"))
	latest, err := s.Registry.Resolve(t.Context(), s.name, registry.LatestAlias)
	require.NoError(t, err)
	require.Equal(t, "11", latest.Number)
	require.Equal(t, []string{"newest"}, latest.Aliases)
	versions, err := s.Registry.Versions(t.Context(), s.name)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}, numbers(versions))
}

func testAliases(t *testing.T, s suite) {
	ctx := t.Context()
	s.register(t, "one")
	s.register(t, "two")

	_, err := s.Registry.Resolve(ctx, s.name, "champion")
	require.ErrorIs(t, err, registry.ErrNotFound)

	require.NoError(t, s.Registry.SetAlias(ctx, s.name, "champion", "1"))
	require.NoError(t, s.Registry.SetAlias(ctx, s.name, "at-2", "2"))
	require.NoError(t, s.Registry.SetAlias(ctx, s.name, "archive", "1"))
	v, err := s.Registry.Resolve(ctx, s.name, "champion")
	require.NoError(t, err)
	require.Equal(t, "1", v.Number)
	require.Equal(t, []string{"archive", "champion"}, v.Aliases)

	require.NoError(t, s.Registry.SetAlias(ctx, s.name, "champion", "2"), "an alias moves")
	v, err = s.Registry.Resolve(ctx, s.name, "champion")
	require.NoError(t, err)
	require.Equal(t, "2", v.Number)
	require.Equal(t, []string{"at-2", "champion"}, v.Aliases)
	v, err = s.Registry.Get(ctx, s.name, "1")
	require.NoError(t, err)
	require.Equal(t, []string{"archive"}, v.Aliases)

	removed := registry.Move{Name: s.name, Alias: "champion", From: "2"}
	require.NoError(t, s.Registry.MoveAlias(ctx, removed))
	_, err = s.Registry.Resolve(ctx, s.name, "champion")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.ErrorIs(t, s.Registry.MoveAlias(ctx, removed), registry.ErrChanged, "it is gone already")
}

func testMovedAliases(t *testing.T, s suite) {
	ctx := t.Context()
	s.register(t, "one")
	s.register(t, "two")
	at := func(alias string) string {
		t.Helper()
		v, err := s.Registry.Resolve(ctx, s.name, alias)
		if err != nil {
			require.ErrorIs(t, err, registry.ErrNotFound)
		}
		return v.Number
	}
	for _, step := range []struct {
		from, to, keep     string
		is                 error
		champion, previous string
	}{
		{"1", "2", "previous", registry.ErrChanged, "", ""},
		{"", "9", "", registry.ErrNotFound, "", ""},
		{"", "1", "previous", nil, "1", ""},
		{"", "2", "previous", registry.ErrChanged, "1", ""},
		{"1", "2", "previous", nil, "2", "1"},
		{"1", "1", "previous", registry.ErrChanged, "2", "1"},
		{"2", "1", "", nil, "1", "1"},
		{"2", "", "", registry.ErrChanged, "1", "1"},
		{"1", "", "", nil, "", "1"},
		{"", "one", "", registry.ErrInvalid, "", "1"},
		{"", "2", "v1", registry.ErrInvalid, "", "1"},
	} {
		err := s.Registry.MoveAlias(ctx, registry.Move{Name: s.name, Alias: "champion", From: step.from, To: step.to, Keep: step.keep})
		if step.is == nil {
			require.NoError(t, err, "%v", step)
		} else {
			require.ErrorIs(t, err, step.is, "%v", step)
			require.NotContains(t, err.Error(), "\n")
		}
		require.Equal(t, []string{step.champion, step.previous}, []string{at("champion"), at("previous")}, "%v", step)
	}
}

func testLock(t *testing.T, s suite) {
	unlock, err := s.Registry.Lock(t.Context(), s.name)
	require.NoError(t, err)
	_, err = s.Registry.Lock(t.Context(), s.name)
	require.ErrorIs(t, err, registry.ErrLocked)
	other, err := s.Registry.Lock(t.Context(), s.name+" of another kind")
	require.NoError(t, err, "each model has its own")
	other()
	unlock()
	again, err := s.Registry.Lock(t.Context(), s.name)
	require.NoError(t, err)
	again()
}

func testReservedAliases(t *testing.T, s suite) {
	s.register(t, "one")
	for _, alias := range []string{"latest", "LATEST", "v1", "V22", "", "a b", "a/b", "..", strings.Repeat("a", 256)} {
		err := s.Registry.SetAlias(t.Context(), s.name, alias, "1")
		require.ErrorIs(t, err, registry.ErrInvalid, "alias %q", alias)
	}
}

func testVersionTags(t *testing.T, s suite) {
	v := s.register(t, "one")
	require.NoError(t, s.Registry.SetTags(t.Context(), v, map[string]string{"a": "1", "note": "x\n\"é\""}))
	require.NoError(t, s.Registry.SetTags(t.Context(), v, map[string]string{"a": "2"}))
	got, err := s.Registry.Get(t.Context(), s.name, "1")
	require.NoError(t, err)
	require.Equal(t, "2", got.Tags["a"])
	require.Equal(t, "x\n\"é\"", got.Tags["note"], "others stay as they were")
	require.NotEmpty(t, got.Tags[registry.TagSHA256])
}

func testNotFound(t *testing.T, s suite) {
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"resolve": func() error { _, err := s.Registry.Resolve(ctx, s.name, "champion"); return err },
		"latest":  func() error { _, err := s.Registry.Resolve(ctx, s.name, registry.LatestAlias); return err },
		"get":     func() error { _, err := s.Registry.Get(ctx, s.name, "1"); return err },
		"alias":   func() error { return s.Registry.SetAlias(ctx, s.name, "champion", "1") },
	} {
		require.ErrorIs(t, call(), registry.ErrNotFound, "%s of an unknown model", name)
	}
	v := s.register(t, "one")
	_, err := s.Registry.Get(ctx, s.name, "2")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.ErrorIs(t, s.Registry.SetAlias(ctx, s.name, "champion", "2"), registry.ErrNotFound)
	_, err = s.Registry.Open(ctx, v, "nothing.bin")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.ErrorIs(t, s.Registry.SetTags(ctx, registry.Version{Name: s.name, Number: "9"}, map[string]string{"a": "b"}), registry.ErrNotFound)
	_, err = s.Registry.Register(ctx, registry.Registration{
		Name: s.name, Model: registry.LoggedModel{ID: "m-" + strings.Repeat("0", 32), RunID: strings.Repeat("0", 32)},
	})
	require.ErrorIs(t, err, registry.ErrNotFound, "a logged model that is not there")
	versions, err := s.Registry.Versions(ctx, s.name)
	require.NoError(t, err)
	require.Len(t, versions, 1)
}

func testInvalid(t *testing.T, s suite) {
	ctx := t.Context()
	s.register(t, "one")
	for _, number := range []string{"", "one", "-1", "1.0", "1 ", "../1"} {
		_, err := s.Registry.Get(ctx, s.name, number)
		require.ErrorIs(t, err, registry.ErrInvalid, "version %q", number)
	}
	require.ErrorIs(t, s.start(t).Finish(ctx, "DONE"), registry.ErrInvalid)
	err := s.start(t).LogDataset(ctx, registry.Dataset{Name: "iris", Digest: strings.Repeat("a", 64)})
	require.ErrorIs(t, err, registry.ErrInvalid, "a SHA-256 is too long for a digest")
}

func testModelNames(t *testing.T, s suite) {
	for _, name := range []string{"Ирис " + unique(), "it's " + unique(), `say "x" ` + unique(), "50% & <b>" + unique(), "a.b_c-d?e#" + unique()} {
		s.name = name
		s.register(t, "one")
		require.NoError(t, s.Registry.SetAlias(t.Context(), name, "champion", "1"))
		v, err := s.Registry.Resolve(t.Context(), name, "champion")
		require.NoError(t, err, "%q", name)
		require.Equal(t, name, v.Name)
		require.Equal(t, "one", string(s.read(t, v, mlmodel.ONNXFile)))
		versions, err := s.Registry.Versions(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, versions, 1)
	}
	for _, name := range []string{"", " ", "a/b", "a:b", "..", ".", "../x", "x/../y"} {
		_, err := s.Registry.Register(t.Context(), registry.Registration{Name: name, Model: s.logModel(t, []byte("x"))})
		require.ErrorIs(t, err, registry.ErrInvalid, "%q", name)
		_, err = s.Registry.Versions(t.Context(), name)
		require.ErrorIs(t, err, registry.ErrInvalid, "%q", name)
	}
}

func testModelDirectory(t *testing.T, s suite) {
	v := s.register(t, "the model")
	files, err := s.Registry.Files(t.Context(), v)
	require.NoError(t, err)
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
		require.Len(t, s.read(t, v, f.Path), int(f.Size), f.Path)
	}
	require.Equal(t, []string{
		"MLmodel", "conda.yaml", "input_example.json", "model.onnx", "python_env.yaml",
		"requirements.txt", "serving_input_example.json",
	}, paths)
	model, err := mlmodel.Parse(s.read(t, v, mlmodel.ModelFile))
	require.NoError(t, err)
	want := ModelDir(nil)
	require.Equal(t, want.Signature, model.Signature)
	require.Equal(t, want.Petal.Classes, model.Petal.Classes)
	require.Equal(t, want.Petal.TrainedAt, model.Petal.TrainedAt)
	require.Equal(t, v.RunID, model.RunID)
	require.Contains(t, v.Source, model.ModelID)
	require.Equal(t, mlmodel.ONNXFile, model.ONNXFile)
}

func testLargeFile(t *testing.T, s suite) {
	const size = 24 << 20
	onnx := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	v := s.register(t, string(onnx))
	body, err := s.Registry.Open(t.Context(), v, mlmodel.ONNXFile)
	require.NoError(t, err)
	hash := sha256.New()
	n, err := io.Copy(hash, body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.EqualValues(t, size, n)
	require.Equal(t, v.Tags[registry.TagSHA256], hex.EncodeToString(hash.Sum(nil)))

	// A reader that has seen enough may leave.
	body, err = s.Registry.Open(t.Context(), v, mlmodel.ONNXFile)
	require.NoError(t, err)
	head := make([]byte, 16)
	_, err = io.ReadFull(body, head)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Equal(t, "0123456789abcdef", string(head))
}

func testPathTraversal(t *testing.T, s suite) {
	v := s.register(t, "one")
	run := s.start(t)
	for _, path := range []string{"", ".", "..", "../index.json", "a/../../b", "/etc/passwd", `..\x`, "a\x00b", "a\nb", "100%41", "a#b", "a?b"} {
		_, err := s.Registry.Open(t.Context(), v, path)
		require.ErrorIs(t, err, registry.ErrInvalid, "open %q", path)
		require.ErrorIs(t, run.LogFile(t.Context(), path, []byte("x")), registry.ErrInvalid, "log %q", path)
	}
}

func testParallelRegistrations(t *testing.T, s suite) {
	const n = 8
	model := s.logModel(t, []byte("one"))
	var made [n]string
	parallel(t, n, func(i int) error {
		v, err := s.Registry.Register(t.Context(), registry.Registration{
			Name: s.name, Model: model, Tags: map[string]string{"i": strconv.Itoa(i)},
		})
		made[i] = v.Number
		return err
	})
	require.ElementsMatch(t, []string{"1", "2", "3", "4", "5", "6", "7", "8"}, made[:])
	for i, number := range made {
		v, err := s.Registry.Get(t.Context(), s.name, number)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), v.Tags["i"])
	}
}

func testParallelAliases(t *testing.T, s suite) {
	model := s.logModel(t, []byte("one"))
	for range 4 {
		_, err := s.Registry.Register(t.Context(), registry.Registration{Name: s.name, Model: model})
		require.NoError(t, err)
	}
	// One writer for each alias, so that all must be kept.
	parallel(t, 4, func(i int) error {
		return s.Registry.SetAlias(t.Context(), s.name, fmt.Sprintf("slot-%d", i+1), strconv.Itoa(i+1))
	})
	for i := 1; i <= 4; i++ {
		v, err := s.Registry.Resolve(t.Context(), s.name, fmt.Sprintf("slot-%d", i))
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), v.Number)
	}
}

func parallel(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "call %d", i)
	}
}

func testRun(t *testing.T, s suite) {
	ctx := t.Context()
	run, err := s.Registry.StartRun(ctx, registry.RunSpec{
		Name: "logistic_regression", Description: "a note", User: "tester", Source: "trainer train",
		Commit: strings.Repeat("a", 40), Tags: map[string]string{"estimator_name": "LogisticRegression"},
	})
	require.NoError(t, err)
	require.NotEmpty(t, run.ID())
	data := registry.Dataset{
		Name: "iris", Path: "data/iris.csv", Digest: strings.Repeat("b", 32), Context: "training", Rows: 150,
		Columns: []mlmodel.Column{{Name: "sepal_length", Type: mlmodel.Double}},
	}
	require.NoError(t, run.LogDataset(ctx, data))
	require.NoError(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "1.0"}, {Key: "empty", Value: ""}}))
	model, err := run.LogModel(ctx, ModelDir([]byte("x")))
	require.NoError(t, err)
	at := time.UnixMilli(1795449770568)
	require.NoError(t, run.LogMetrics(ctx, []registry.Metric{
		{Key: "loss", Value: 0.5, Step: 1, Time: at},
		{Key: "loss", Value: 0.25, Step: 2, Time: at.Add(time.Second)},
		{Key: "val_accuracy_score", Value: 0.97, Model: model.ID, Dataset: &data},
	}))
	require.NoError(t, run.SetTags(ctx, map[string]string{"dvc.md5": data.Digest, "empty": ""}))
	files := map[string]string{"plots/матрица 1; a+b&c.png": "\x89PNG\r\n\x00", "empty.txt": ""}
	for path, content := range files {
		require.NoError(t, run.LogFile(ctx, path, []byte(content)))
	}
	require.NoError(t, run.Finish(ctx, registry.Finished))

	found, status, err := s.ReadRun(ctx, run.ID())
	require.NoError(t, err)
	require.Equal(t, registry.Finished, status)
	require.Equal(t, map[string]string{"C": "1.0", "empty": ""}, found.Params)
	require.Subset(t, found.Tags, map[string]string{
		mlmodel.TagUser: "tester", mlmodel.TagSourceName: "trainer train", mlmodel.TagSourceType: "LOCAL",
		mlmodel.TagGitCommit: strings.Repeat("a", 40), mlmodel.TagNote: "a note",
		"estimator_name": "LogisticRegression", "dvc.md5": data.Digest, "empty": "",
	})
	require.Len(t, found.Metrics["loss"], 2)
	require.Equal(t, []string{model.ID}, found.Models)
	require.Equal(t, map[string]int64{"plots/матрица 1; a+b&c.png": 7, "empty.txt": 0}, found.Files)
	for path, content := range files {
		read, err := s.ReadFile(ctx, run.ID(), path)
		require.NoError(t, err, path)
		require.Equal(t, content, string(read), path)
	}
	require.Len(t, found.Datasets, 1)
	require.Equal(t, "data/iris.csv", found.Datasets[0].Path)
	require.Equal(t, "training", found.Datasets[0].Context)
}

func testRunEnds(t *testing.T, s suite) {
	for _, status := range []registry.Status{registry.Finished, registry.Failed, registry.Killed} {
		run := s.start(t)
		require.NoError(t, run.LogParams(t.Context(), []registry.Param{{Key: "a", Value: "b"}}))
		require.NoError(t, run.Finish(t.Context(), status))
		_, found, err := s.ReadRun(t.Context(), run.ID())
		require.NoError(t, err)
		require.Equal(t, status, found)
	}
}

// What was logged and is not there keeps a run from being finished.
func testLostFile(t *testing.T, s suite) {
	ctx := t.Context()
	run := s.start(t)
	require.NoError(t, run.LogFile(ctx, "kept.txt", []byte("a")))
	require.NoError(t, run.LogFile(ctx, "lost.txt", []byte("b")))
	require.NoError(t, s.LoseFile(ctx, run.ID(), "lost.txt"))
	err := run.Finish(ctx, registry.Finished)
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, "lost.txt")
	require.NoError(t, run.Finish(ctx, registry.Failed))
}

func testLostModel(t *testing.T, s suite) {
	v := s.register(t, "one")
	require.NoError(t, s.LoseModel(t.Context(), v))
	_, err := s.Registry.Files(t.Context(), v)
	require.ErrorIs(t, err, registry.ErrNotFound)
	_, err = s.Registry.Open(t.Context(), v, mlmodel.ONNXFile)
	require.ErrorIs(t, err, registry.ErrNotFound)
}

func testChildRun(t *testing.T, s suite) {
	parent := s.start(t)
	child, err := s.Registry.StartRun(t.Context(), registry.RunSpec{Name: "candidate", ParentID: parent.ID()})
	require.NoError(t, err)
	require.NoError(t, child.Finish(t.Context(), registry.Finished))
	require.NoError(t, parent.Finish(t.Context(), registry.Finished))
	found, _, err := s.ReadRun(t.Context(), child.ID())
	require.NoError(t, err)
	require.Equal(t, parent.ID(), found.Tags[mlmodel.TagParentRun])
}

func testUnicode(t *testing.T, s suite) {
	run := s.start(t)
	require.NoError(t, run.LogParams(t.Context(), []registry.Param{{Key: "длина чашелистика", Value: "日本語 😀 \u2028 \" \\ <b>&"}}))
	require.NoError(t, run.SetTags(t.Context(), map[string]string{"étiquette": "ligne\nnouvelle\ttab"}))
	require.NoError(t, run.LogMetrics(t.Context(), []registry.Metric{{Key: "f1 виргиника", Value: 0.5}}))
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Equal(t, "日本語 😀 \u2028 \" \\ <b>&", found.Params["длина чашелистика"])
	require.Equal(t, "ligne\nnouvelle\ttab", found.Tags["étiquette"])
	require.Len(t, found.Metrics["f1 виргиника"], 1)
}

func testSpecialNumbers(t *testing.T, s suite) {
	run := s.start(t)
	values := map[string]float64{
		"nan": math.NaN(), "inf": math.Inf(1), "minus_inf": math.Inf(-1), "tiny": math.SmallestNonzeroFloat64,
		"huge": math.MaxFloat64, "third": 1.0 / 3, "minus_zero": math.Copysign(0, -1), "small": 1e-7,
	}
	var metrics []registry.Metric
	for key, v := range values {
		metrics = append(metrics, registry.Metric{Key: key, Value: v})
		for step := range 3 {
			metrics = append(metrics, registry.Metric{Key: key + "_history", Value: v, Step: int64(step)})
		}
	}
	require.NoError(t, run.LogMetrics(t.Context(), metrics))
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Len(t, found.Metrics["nan_history"], 3)
	require.True(t, math.IsNaN(found.Metrics["nan"][0].Value))
	require.GreaterOrEqual(t, found.Metrics["inf"][0].Value, math.MaxFloat64)
	require.LessOrEqual(t, found.Metrics["minus_inf"][0].Value, -math.MaxFloat64)
	for _, key := range []string{"tiny", "huge", "third", "small"} {
		require.Equal(t, math.Float64bits(values[key]), math.Float64bits(found.Metrics[key][0].Value), key)
	}
}

// testManyEntries exceeds what one call to MLflow holds, in number and bytes.
func testManyEntries(t *testing.T, s suite) {
	run := s.start(t)
	var params []registry.Param
	tags := map[string]string{}
	for i := range 250 {
		params = append(params, registry.Param{Key: fmt.Sprintf("p%d", i), Value: strings.Repeat("ё", 5000)})
		tags[fmt.Sprintf("t%d", i)] = strconv.Itoa(i)
	}
	var metrics []registry.Metric
	at := time.Now()
	for step := range 2500 {
		metrics = append(metrics, registry.Metric{Key: "loss", Value: 1 / float64(step+1), Step: int64(step), Time: at})
	}
	require.NoError(t, run.LogParams(t.Context(), params))
	require.NoError(t, run.SetTags(t.Context(), tags))
	require.NoError(t, run.LogMetrics(t.Context(), metrics))
	// Longer than MLflow keeps: cut there with a word in the log, kept here.
	require.NoError(t, run.LogParams(t.Context(), []registry.Param{{Key: "long", Value: strings.Repeat("é", 7000)}}))
	require.NoError(t, run.SetTags(t.Context(), map[string]string{"long": strings.Repeat("é", 9000)}))
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Len(t, found.Params, 251)
	require.Len(t, found.Metrics["loss"], 2500)
	require.Equal(t, strings.Repeat("ё", 5000), found.Params["p249"])
}

func testImmutableParams(t *testing.T, s suite) {
	ctx := t.Context()
	run := s.start(t)
	require.NoError(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "1"}}))
	require.NoError(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "1"}}), "the same again is fine")
	require.ErrorIs(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "2"}}), registry.ErrInvalid)
	require.ErrorIs(t, run.LogParams(ctx, []registry.Param{{Key: "D", Value: "1"}, {Key: "D", Value: "2"}}), registry.ErrInvalid)
	require.NoError(t, run.Finish(ctx, registry.Finished))
	found, _, err := s.ReadRun(ctx, run.ID())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"C": "1"}, found.Params)
}

func testMalformedKeys(t *testing.T, s suite) {
	ctx := t.Context()
	run := s.start(t)
	for _, key := range []string{"", "a(b)", "a\nb", "../x", "/x", ".", "a//b", strings.Repeat("k", 251), "a,b"} {
		require.ErrorIs(t, run.LogParams(ctx, []registry.Param{{Key: key, Value: "v"}}), registry.ErrInvalid, "param %q", key)
		require.ErrorIs(t, run.SetTags(ctx, map[string]string{key: "v"}), registry.ErrInvalid, "tag %q", key)
		require.ErrorIs(t, run.LogMetrics(ctx, []registry.Metric{{Key: key}}), registry.ErrInvalid, "metric %q", key)
	}
	require.NoError(t, run.Finish(ctx, registry.Finished), "nothing refused may be expected back")
}

func testUnwritableModel(t *testing.T, s suite) {
	run := s.start(t)
	_, err := run.LogModel(t.Context(), mlmodel.Dir{})
	require.ErrorIs(t, err, registry.ErrInvalid, "no ONNX")
	bad := ModelDir([]byte("x"))
	bad.InputExample = [][]float64{{1, 2, 3}}
	_, err = run.LogModel(t.Context(), bad)
	require.ErrorIs(t, err, registry.ErrInvalid, "a row too long")
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Empty(t, found.Models)
}

func testParallelCalls(t *testing.T, s suite) {
	run := s.start(t)
	parallel(t, 6, func(i int) error {
		key := fmt.Sprintf("k%d", i)
		if err := run.LogParams(t.Context(), []registry.Param{{Key: key, Value: key}}); err != nil {
			return err
		}
		if err := run.LogMetrics(t.Context(), []registry.Metric{{Key: "loss", Step: int64(i), Value: float64(i)}}); err != nil {
			return err
		}
		return run.LogFile(t.Context(), key, []byte(key))
	})
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Len(t, found.Params, 6)
	require.Len(t, found.Metrics["loss"], 6)
	require.Len(t, found.Files, 6)
}

func testCancelled(t *testing.T, s suite) {
	v := s.register(t, "one")
	run := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range s.calls(ctx, v, run) {
		require.ErrorIs(t, err, context.Canceled, name)
	}
	versions, err := s.Registry.Versions(t.Context(), s.name)
	require.NoError(t, err)
	require.Len(t, versions, 1)
}

func testUnavailable(t *testing.T, s suite) {
	v := s.register(t, "one")
	s.Break()
	for name, err := range map[string]error{
		"resolve":  second(s.Registry.Resolve(t.Context(), s.name, "champion")),
		"latest":   second(s.Registry.Resolve(t.Context(), s.name, registry.LatestAlias)),
		"get":      second(s.Registry.Get(t.Context(), s.name, "1")),
		"versions": second(s.Registry.Versions(t.Context(), s.name)),
		"alias":    s.Registry.SetAlias(t.Context(), s.name, "champion", "1"),
		"move":     s.Registry.MoveAlias(t.Context(), registry.Move{Name: s.name, Alias: "champion", To: "1"}),
		"tags":     s.Registry.SetTags(t.Context(), v, map[string]string{"a": "b"}),
	} {
		require.ErrorIs(t, err, registry.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "\n", "one line")
	}
}

// calls makes every call of the interface and returns its error by name.
func (s suite) calls(ctx context.Context, v registry.Version, run registry.Run) map[string]error {
	model := registry.LoggedModel{ID: "m-" + strings.Repeat("0", 32), RunID: v.RunID}
	return map[string]error{
		"resolve":  second(s.Registry.Resolve(ctx, s.name, "champion")),
		"get":      second(s.Registry.Get(ctx, s.name, "1")),
		"versions": second(s.Registry.Versions(ctx, s.name)),
		"files":    second(s.Registry.Files(ctx, v)),
		"open":     second(s.Registry.Open(ctx, v, mlmodel.ModelFile)),
		"register": second(s.Registry.Register(ctx, registry.Registration{Name: s.name, Model: model})),
		"alias":    s.Registry.SetAlias(ctx, s.name, "champion", "1"),
		"unalias":  s.Registry.MoveAlias(ctx, registry.Move{Name: s.name, Alias: "champion", From: "1"}),
		"move":     s.Registry.MoveAlias(ctx, registry.Move{Name: s.name, Alias: "champion", To: "1"}),
		"lock":     second(s.Registry.Lock(ctx, s.name)),
		"tags":     s.Registry.SetTags(ctx, v, map[string]string{"a": "b"}),
		"run":      second(s.Registry.StartRun(ctx, registry.RunSpec{Name: "x"})),
		"params":   run.LogParams(ctx, []registry.Param{{Key: "a", Value: "b"}}),
		"metrics":  run.LogMetrics(ctx, []registry.Metric{{Key: "a"}}),
		"run tags": run.SetTags(ctx, map[string]string{"a": "b"}),
		"file":     run.LogFile(ctx, "a", nil),
		"model":    second(run.LogModel(ctx, ModelDir([]byte("x")))),
		"finish":   run.Finish(ctx, registry.Failed),
	}
}

func second[T any](_ T, err error) error { return err }
