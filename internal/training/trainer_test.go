package training

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/training/pictures"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

const irisObject = "../../data/remote/files/md5/01/3d0da08d6506664ce640459139176b"

// bench is a trainer over a directory registry of its own.
type bench struct {
	store   *directory.Store
	trainer *Trainer
	metrics *prometheus.Registry
	log     *bytes.Buffer
	dir     string
}

// newBench lets a test change the configuration before the trainer is made.
func newBench(t *testing.T, changes ...func(*Config)) *bench {
	t.Helper()
	dir := t.TempDir()
	store, err := directory.Open(directory.Options{Root: filepath.Join(dir, "registry"), Experiment: "test"})
	require.NoError(t, err)
	b := &bench{store: store, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}, dir: dir}
	cfg := Config{
		Promoter: promotion.Promoter{
			Registry: store, Model: "iris", Source: "test", User: "tester",
			Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		},
		Metrics: NewMetrics(b.metrics),
	}
	for _, change := range changes {
		change(&cfg)
	}
	b.trainer = New(cfg)
	return b
}

// irisRequest asks for a training on a copy of iris that DVC does not track.
func (b *bench) irisRequest(t *testing.T) Request {
	t.Helper()
	content, err := os.ReadFile(irisObject)
	require.NoError(t, err)
	return b.request(t, "iris.csv", string(content))
}

func (b *bench) request(t *testing.T, name, content string) Request {
	t.Helper()
	path := filepath.Join(b.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	p := DefaultParams()
	p.Data, p.Label, p.Candidates = path, "species", []Spec{{Estimator: "LogisticRegression"}}
	return Request{Params: p, ParamsFile: "params.yaml", Commit: strings.Repeat("a", 40)}
}

// prepared takes a request through the first stage.
func (b *bench) prepared(t *testing.T, req Request) prepared {
	t.Helper()
	asked, err := newTask(t.Context(), req, b.trainer.cfg.DVC)
	require.NoError(t, err)
	p, err := prepare(t.Context(), asked)
	require.NoError(t, err)
	return p
}

func (b *bench) champion(t *testing.T) registry.Version {
	t.Helper()
	v, err := b.store.Resolve(t.Context(), "iris", promotion.Champion)
	require.NoError(t, err)
	return v
}

func (b *bench) modelFile(t *testing.T, v registry.Version) []byte {
	t.Helper()
	f, err := b.store.Open(t.Context(), v, registry.ModelFile)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(f)
	require.NoError(t, err)
	return raw
}

func TestTrain(t *testing.T) {
	var steps []Progress
	b := newBench(t, func(c *Config) {
		c.Progress = func(p Progress) {
			if p.Iteration == 0 { // those come where a fit takes long
				steps = append(steps, p)
			}
		}
		c.Draw = pictures.Draw
	})
	req := b.irisRequest(t)
	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, Promoted, result.Outcome)
	assert.Equal(t, "1", result.Version.Number)
	assert.Equal(t, []int{150, 4, 3}, []int{result.Rows, result.Features, result.Classes})
	// scikit-learn's figures for the same split (docs of the live parity tests).
	assert.InDelta(t, 28.0/30, result.Accuracy, 1e-12)
	assert.InDelta(t, 0.17398595, result.LogLoss, 1e-8)

	require.Len(t, steps, 10, "verify, read, five folds, fit, evaluate, promote")
	for i, s := range steps {
		assert.Equal(t, Progress{Step: s.Step, Done: i + 1, Total: 10}, s)
	}

	t.Run("the champion", func(t *testing.T) {
		v := b.champion(t)
		assert.Equal(t, "1", v.Number)
		raw := b.modelFile(t, v)
		assert.Equal(t, fmt.Sprint(len(raw)), v.Tags[registry.TagSize])
		_, err := (&promotion.Promoter{Registry: b.store}).Open(t.Context(), v)
		require.NoError(t, err, "its digest, its graph and its signature")
		assert.Len(t, v.Tags[registry.TagFingerprint], 64)
		assert.Contains(t, v.Description, "LogisticRegression(C=1, max_iter=1000, tol=1e-08), trained on 120 of the 150 rows")
		assert.Contains(t, v.Description, "There was no champion before.")
	})
	t.Run("the run", func(t *testing.T) {
		record, status, err := b.store.ReadRun(result.RunID)
		require.NoError(t, err)
		assert.Equal(t, registry.Finished, status)
		assert.Equal(t, "1.0", record.Params["C"])
		assert.Equal(t, "42", record.Params["random_state"])
		assert.Equal(t, "0.2", record.Params["test_size"])
		for key, value := range record.Params {
			assert.NotEmpty(t, value, "parameter %s", key)
		}
		assert.Equal(t, strings.Repeat("a", 40), record.Tags[mlmodel.TagGitCommit])
		assert.Equal(t, "linear.LogisticRegression", record.Tags["estimator_class"])
		for _, key := range []string{
			"training_accuracy_score", "training_f1_score", "training_precision_score", "training_recall_score",
			"training_log_loss", "training_roc_auc", "val_log_loss", "test_accuracy_score", "test_log_loss", "test_roc_auc",
		} {
			assert.Len(t, record.Metrics[key], 1, key)
		}
		losses := record.Metrics["loss"]
		require.Greater(t, len(losses), 5)
		for i, p := range losses {
			assert.EqualValues(t, i+1, p.Step)
		}
		assert.Less(t, losses[len(losses)-1].Value, losses[0].Value)
		require.Len(t, record.Datasets, 1)
		assert.Equal(t, "013d0da08d6506664ce640459139176b", record.Datasets[0].Digest)
		assert.Subset(t, record.Files, []string{
			"params.yaml", "data_profile.json", "modules.txt", "test_classes.json", "importance.json",
			"training_confusion_matrix.png", "test_confusion_matrix.png", "plots/roc.png", "plots/precision_recall.png",
			"plots/calibration.png", "plots/loss.png", "plots/importance.png", "plots/histogram_04.png", "plots/decision_regions.png",
		})
	})
	t.Run("MLmodel", func(t *testing.T) {
		f, err := b.store.Open(t.Context(), b.champion(t), mlmodel.ModelFile)
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(f)
		require.NoError(t, err)
		model, err := mlmodel.Parse(text)
		require.NoError(t, err)
		petal := model.Petal
		require.NotNil(t, petal)
		assert.Equal(t, "LogisticRegression", petal.Estimator)
		assert.Equal(t, []any{"setosa", "versicolor", "virginica"}, petal.Classes)
		assert.InDelta(t, result.LogLoss, petal.Metrics["log_loss"], 1e-12)
		assert.Empty(t, petal.MissingColumns)
		assert.Equal(t, mlmodel.PetalFeature{Name: "sepal_length", Type: "double"}, petal.Features[0])
	})
	t.Run("metrics", func(t *testing.T) {
		assert.InDelta(t, 1, testutil.ToFloat64(b.trainer.cfg.Metrics.runs.WithLabelValues("promoted")), 0)
		assert.InDelta(t, 150, testutil.ToFloat64(b.trainer.cfg.Metrics.rows), 0)
		assert.InDelta(t, 1, testutil.ToFloat64(b.trainer.cfg.Metrics.registryUp), 0)
		assert.InDelta(t, 0, testutil.ToFloat64(b.trainer.cfg.Metrics.inProgress), 0)
		problems, err := testutil.GatherAndLint(b.metrics)
		require.NoError(t, err)
		assert.Empty(t, problems)
	})
	t.Run("again: nothing to do", func(t *testing.T) {
		again, err := b.trainer.Train(t.Context(), req)
		require.NoError(t, err)
		assert.Equal(t, Unchanged, again.Outcome)
		assert.Equal(t, "1", again.Version.Number)
		assert.Empty(t, again.RunID)
	})
	t.Run("forced: the same bytes", func(t *testing.T) {
		forced := req
		forced.Force = true
		again, err := b.trainer.Train(t.Context(), forced)
		require.NoError(t, err)
		assert.Equal(t, Promoted, again.Outcome)
		assert.Equal(t, "2", b.champion(t).Number)
		first, err := b.store.Resolve(t.Context(), "iris", promotion.Previous)
		require.NoError(t, err)
		assert.Equal(t, "1", first.Number)
		assert.Equal(t, b.modelFile(t, first), b.modelFile(t, b.champion(t)))
		assert.Contains(t, b.champion(t).Description, "The champion before was version 1.")
	})
	t.Run("a damaged champion is trained anew", func(t *testing.T) {
		v := b.champion(t)
		require.NoError(t, os.Truncate(filepath.Join(b.store.Root(), v.Source, registry.ModelFile), 10))
		again, err := b.trainer.Train(t.Context(), req)
		require.NoError(t, err)
		assert.Equal(t, Promoted, again.Outcome)
		assert.Equal(t, "3", b.champion(t).Number)
		assert.Contains(t, b.log.String(), "the champion is damaged")
	})
}

func TestTrainIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	for _, spec := range []Spec{
		{Estimator: "LogisticRegression"},
		{Estimator: "RandomForestClassifier", Params: map[string]any{"n_estimators": 20, "max_depth": 4}},
		{Estimator: "HistGradientBoostingClassifier", Params: map[string]any{"max_iter": 10}},
	} {
		t.Run(spec.Estimator, func(t *testing.T) {
			train := func(workers int, data string) []byte {
				b := newBench(t, func(c *Config) { c.Workers = workers })
				req := b.request(t, "noisy.csv", data)
				req.Params.Candidates, req.Params.NSplits = []Spec{spec}, 2
				_, err := b.trainer.Train(t.Context(), req)
				require.NoError(t, err)
				return b.modelFile(t, b.champion(t))
			}
			file := train(1, noisy(300, 1))
			assert.Equal(t, file, train(2, noisy(300, 1)))
			assert.Equal(t, file, train(5, noisy(300, 1)))
			assert.NotEqual(t, file, train(2, noisy(300, 2)), "other data give another model")
		})
	}
}

func TestTrainChoosesTheBestCandidate(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	req.Params.Candidates = []Spec{
		{Estimator: "DummyClassifier"},
		{Estimator: "LogisticRegression", Params: map[string]any{"C": 0.001}},
		{Estimator: "LogisticRegression", Params: map[string]any{"C": 1}},
	}
	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, "LogisticRegression(C=1, max_iter=1000, tol=1e-08)", result.Estimator)

	first := validation{candidate: Candidate{Name: "first"}, folds: []map[string]float64{{"log_loss": 0.2}, {"log_loss": 0.4}}}
	second := validation{candidate: Candidate{Name: "second"}, folds: []map[string]float64{{"log_loss": 0.4}, {"log_loss": 0.2}}}
	assert.Equal(t, "first", []string{"first", "second"}[best([]validation{first, second})], "ties go to the first")
}

func TestTrainIntegerLabels(t *testing.T) {
	b := newBench(t)
	content, err := os.ReadFile(irisObject)
	require.NoError(t, err)
	text := strings.NewReplacer(",setosa", ",10", ",versicolor", ",9", ",virginica", ",-1").Replace(string(content))
	_, err = b.trainer.Train(t.Context(), b.request(t, "codes.csv", text))
	require.NoError(t, err)
	predictor, err := loadPredictor(b.modelFile(t, b.champion(t)))
	require.NoError(t, err)
	assert.Equal(t, []int64{-1, 9, 10}, predictor.Labels().Ints)
}

// The gate refuses a model that learned nothing: one trained on labels in random
// order, and the prior itself.
func TestGateRefuses(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	_, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	before := b.champion(t)

	var shuffled strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	shuffled.WriteString("a,b,c,d,e,f,g,h,species\n")
	for range 60 {
		for range 8 {
			fmt.Fprintf(&shuffled, "%v,", random.NormFloat64())
		}
		fmt.Fprintf(&shuffled, "%c\n", 'x'+rune(random.IntN(3)))
	}
	prior := req
	prior.Params.Candidates = []Spec{{Estimator: "DummyClassifier"}}
	for name, req := range map[string]Request{
		"labels in random order": b.request(t, "shuffled.csv", shuffled.String()),
		"the prior":              prior,
	} {
		t.Run(name, func(t *testing.T) {
			result, err := b.trainer.Train(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Refused, result.Outcome)
			assert.Contains(t, result.Verdict.String(), "refused: the hold-out's log-loss")
			assert.Equal(t, before, b.champion(t))
			record, status, err := b.store.ReadRun(result.RunID)
			require.NoError(t, err)
			assert.Equal(t, registry.Finished, status)
			assert.Equal(t, result.Verdict.String(), record.Tags["petal.gate"])
		})
	}
	versions, err := b.store.Versions(t.Context(), "iris")
	require.NoError(t, err)
	assert.Len(t, versions, 1)
	assert.InDelta(t, 2, testutil.ToFloat64(b.trainer.cfg.Metrics.runs.WithLabelValues("refused")), 0)
	assert.InDelta(t, 0, testutil.ToFloat64(b.trainer.cfg.Metrics.lastFailed), 0)
}

func TestTrainRefusesBadInput(t *testing.T) {
	rows := func(n int, row string) string { return strings.Repeat(row+"\n", n) }
	const header = "a,species\n"
	cases := map[string]struct {
		content string
		mutate  func(*Request)
		want    error // its place in the directory of the test
	}{
		"one class":            {header + rows(20, "1,x"), nil, &dataset.Error{File: "flowers.csv", Column: "species"}},
		"no class of two rows": {header + rows(2, "1,x") + rows(1, "2,y"), nil, &dataset.Error{File: "flowers.csv", Column: "species"}},
		"hold-out too small":   {header + rows(10, "1,x") + rows(10, "2,y"), func(r *Request) { r.Params.TestSize = 0.01 }, &InputError{Where: "flowers.csv"}},
		"parameters":           {"", func(r *Request) { r.Params.NSplits = 0 }, &InputError{Where: "params.yaml: n_splits"}},
		"no file":              {"", func(r *Request) { r.Params.Data += ".gone" }, &dataset.Error{File: "flowers.csv.gone"}},
		"a named pipe": {"", func(r *Request) {
			r.Params.Data += ".pipe"
			if err := syscall.Mkfifo(r.Params.Data, 0o600); err != nil {
				panic(err)
			}
		}, &dataset.Error{File: "flowers.csv.pipe"}},
		"no file, a pointer": {"", func(r *Request) { r.Params.Data += ".dvc" }, &dvc.Error{File: "DIR", Kind: dvc.ErrNoRepo}},
	}
	messages := golden.New(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			req := b.request(t, "flowers.csv", c.content)
			if c.mutate != nil {
				c.mutate(&req)
			}
			_, err := b.trainer.Train(t.Context(), req)
			requireFault(t, b.within(c.want), err)
			messages.Add(name, without(b.dir, err))
			assert.NotContains(t, err.Error(), "\n")
			assert.NoDirExists(t, b.store.Root(), "nothing is written")
			assert.InDelta(t, 1, testutil.ToFloat64(b.trainer.cfg.Metrics.lastFailed), 0)
		})
	}
}

// stumbling fails or interrupts at the n-th call that writes.
type stumbling struct {
	registry.Registry
	calls atomic.Int64
	at    int64
	then  func() error
	run   *string // ID of the last run
}

func (s *stumbling) step() error {
	if s.calls.Add(1) == s.at {
		return s.then()
	}
	return nil
}

func (s *stumbling) StartRun(ctx context.Context, spec registry.RunSpec) (registry.Run, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	run, err := s.Registry.StartRun(ctx, spec)
	if err == nil && spec.ParentID == "" {
		*s.run = run.ID()
	}
	return stumblingRun{run, s}, err
}

func (s *stumbling) Register(ctx context.Context, r registry.Registration) (registry.Version, error) {
	if err := s.step(); err != nil {
		return registry.Version{}, err
	}
	return s.Registry.Register(ctx, r)
}

func (s *stumbling) SetAlias(ctx context.Context, name, alias, number string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Registry.SetAlias(ctx, name, alias, number)
}

func (s *stumbling) MoveAlias(ctx context.Context, m registry.Move) error {
	if m.Alias == promotion.Champion { // the challenger's goes after that, and may stay
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.Registry.MoveAlias(ctx, m)
}

type stumblingRun struct {
	registry.Run
	s *stumbling
}

func (r stumblingRun) LogParams(ctx context.Context, p []registry.Param) error {
	return errors.Join(r.s.step(), r.Run.LogParams(ctx, p))
}

func (r stumblingRun) LogMetrics(ctx context.Context, m []registry.Metric) error {
	return errors.Join(r.s.step(), r.Run.LogMetrics(ctx, m))
}

func (r stumblingRun) LogDataset(ctx context.Context, d registry.Dataset) error {
	return errors.Join(r.s.step(), r.Run.LogDataset(ctx, d))
}

func (r stumblingRun) SetTags(ctx context.Context, tags map[string]string) error {
	return errors.Join(r.s.step(), r.Run.SetTags(ctx, tags))
}

func (r stumblingRun) LogFile(ctx context.Context, path string, content []byte) error {
	return errors.Join(r.s.step(), r.Run.LogFile(ctx, path, content))
}

func (r stumblingRun) LogModel(ctx context.Context, m mlmodel.Dir) (registry.LoggedModel, error) {
	if err := r.s.step(); err != nil {
		return registry.LoggedModel{}, err
	}
	return r.Run.LogModel(ctx, m)
}

func (r stumblingRun) Finish(ctx context.Context, s registry.Status) error {
	if s == registry.Finished {
		if err := r.s.step(); err != nil {
			return err
		}
	}
	return r.Run.Finish(ctx, s)
}

// Whichever write fails, or is interrupted, the champion is as it was and whole,
// and the run says how it ended.
func TestEveryWriteMayFail(t *testing.T) {
	errDown := fmt.Errorf("%w: out of disk", registry.ErrUnavailable)
	for _, interrupted := range []bool{false, true} {
		t.Run(fmt.Sprintf("interrupted=%v", interrupted), func(t *testing.T) {
			t.Parallel()
			var runID string
			wrapped := &stumbling{run: &runID, at: -1}
			b := newBench(t, func(c *Config) { wrapped.Registry, c.Registry = c.Registry, wrapped })
			req := b.irisRequest(t)
			req.Force = true
			train := func(ctx context.Context, at int64) (Result, error) {
				runID, wrapped.at = "", at
				wrapped.calls.Store(0)
				return b.trainer.Train(ctx, req)
			}
			_, err := train(t.Context(), -1)
			require.NoError(t, err)

			for at := int64(1); ; at++ {
				before := b.champion(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				wrapped.then = func() error {
					if interrupted {
						cancel()
						return ctx.Err()
					}
					return errDown
				}
				result, err := train(ctx, at)
				if wrapped.calls.Load() < at {
					require.NoError(t, err, "after all the failures a training works")
					require.Equal(t, Promoted, result.Outcome)
					require.Greater(t, at, int64(12), "all the writes were tried")
					return
				}
				if interrupted {
					require.ErrorIs(t, err, context.Canceled)
				} else {
					require.ErrorIs(t, err, errDown)
				}
				after := b.champion(t)
				after.Aliases, before.Aliases = nil, nil // previous may point at it by now
				require.Equal(t, before, after, "write %d", at)
				_, err = (&promotion.Promoter{Registry: b.store}).Open(t.Context(), after)
				require.NoError(t, err)
				if runID != "" {
					requireStatus(t, b, runID, interrupted, at)
				}
			}
		})
	}
}

// overtaken is a registry in which somebody else acts before the champion moves.
type overtaken struct {
	registry.Registry
	before func()
}

func (o *overtaken) MoveAlias(ctx context.Context, m registry.Move) error {
	if m.Alias == promotion.Champion && o.before != nil {
		before := o.before
		o.before = nil
		before()
	}
	return o.Registry.MoveAlias(ctx, m)
}

// An operator who moves the champion during a training is not overruled unseen:
// whenever that is, the new model is held against the version of then.
func TestOperatorMovesTheChampionDuringATraining(t *testing.T) {
	for _, when := range []string{"fit", "the last moment", "the last moment, a better one"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			crowd := &overtaken{}
			var atFit func()
			b := newBench(t, func(c *Config) {
				crowd.Registry, c.Registry = c.Registry, crowd
				c.Progress = func(p Progress) {
					if p.Step == "evaluate" && atFit != nil {
						atFit()
					}
				}
			})
			good := b.request(t, "noisy.csv", noisy(600, 1))
			good.Force = true
			poor := good
			poor.Params.Candidates = logistic(1e-3)
			for _, req := range []Request{poor, poor, good} {
				_, err := b.trainer.Train(t.Context(), req)
				require.NoError(t, err)
			}
			require.Equal(t, "3", b.champion(t).Number)
			operator := promotion.Promoter{Registry: b.store, Model: "iris", Logger: slog.New(slog.DiscardHandler)}
			byHand := func(number string) func() {
				return func() {
					_, moved, err := operator.Promote(context.Background(), number)
					require.NoError(t, err)
					require.True(t, moved)
				}
			}
			asked, want, previous := good, "4", "1"
			switch when {
			case "fit":
				atFit = byHand("1")
			case "the last moment":
				crowd.before = byHand("1")
			default:
				byHand("1")()
				asked, want, previous = poor, "3", "1"
				crowd.before = byHand("3")
			}
			result, err := b.trainer.Train(t.Context(), asked)
			require.NoError(t, err)
			assert.Equal(t, want, b.champion(t).Number)
			assert.Equal(t, want, result.Version.Number)
			before, err := b.store.Resolve(t.Context(), "iris", promotion.Previous)
			require.NoError(t, err)
			assert.Equal(t, previous, before.Number)
			record, _, err := b.store.ReadRun(result.RunID)
			require.NoError(t, err)
			assert.Equal(t, result.Verdict.String(), record.Tags[promotion.TagVerdict])
			if want == "4" {
				assert.Equal(t, Promoted, result.Outcome)
				assert.Contains(t, result.Verdict.String(), "against the champion, version 1: ")
				return
			}
			assert.Equal(t, Refused, result.Outcome)
			assert.Contains(t, result.Verdict.String(), "against the champion, version 3: worse")
			gate := record.Metrics["gate_promoted"]
			assert.InDelta(t, 0, gate[len(gate)-1].Value, 0)
			challenger, err := b.store.Resolve(t.Context(), "iris", promotion.Challenger)
			require.NoError(t, err)
			assert.Equal(t, "4", challenger.Number)
		})
	}
}

// Of two trainings at once the second waits, and finds that there is nothing to do.
func TestTwoTrainersAtOnce(t *testing.T) {
	waits := make(chan struct{})
	log := slog.New(onMessage{slog.DiscardHandler, "waits until it ends", func() { close(waits) }})
	type ended struct {
		Result
		error
	}
	ends := make(chan ended, 1)
	var second *Trainer
	var req Request
	b := newBench(t, func(c *Config) {
		c.Progress = func(p Progress) {
			if p.Step == "evaluate" {
				go func() {
					result, err := second.Train(context.Background(), req)
					ends <- ended{result, err}
				}()
				<-waits
			}
		}
	})
	cfg := b.trainer.cfg
	cfg.Logger, cfg.Progress, cfg.Metrics = log, nil, NewMetrics(prometheus.NewRegistry())
	second, req = New(cfg), b.irisRequest(t)
	first, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Promoted, first.Outcome)
	other := <-ends
	require.NoError(t, other.error)
	assert.Equal(t, Unchanged, other.Outcome)
	assert.Equal(t, "1", other.Version.Number)
}

// onMessage calls a function when a message is logged.
type onMessage struct {
	slog.Handler
	part string
	call func()
}

func (onMessage) Enabled(context.Context, slog.Level) bool { return true }

func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.part) {
		h.call()
	}
	return nil
}

func requireStatus(t *testing.T, b *bench, runID string, interrupted bool, at int64) {
	t.Helper()
	_, status, err := b.store.ReadRun(runID)
	require.NoError(t, err)
	want := registry.Failed
	if interrupted {
		want = registry.Killed
	}
	if status == registry.Finished { // only the aliases were left to write
		require.Greater(t, at, int64(12))
		return
	}
	require.Equal(t, want, status, "write %d", at)
}
