package trainer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/tests/testenv"
)

// home is a folder that the program is run in, with what a clone has.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func newHome(t *testing.T, env ...string) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), env: env}
	root := testenv.Root(t)
	for _, name := range []string{"params.yaml", "mlflow.yaml", "data/iris.csv.dvc", ".dvc/config"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		h.write(name, string(content))
	}
	require.NoError(t, os.CopyFS(filepath.Join(h.dir, "data", "remote"), os.DirFS(filepath.Join(root, "data", "remote"))))
	return h
}

func (h *home) write(name, content string) {
	h.t.Helper()
	path := filepath.Join(h.dir, filepath.FromSlash(name))
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(h.t, os.WriteFile(path, []byte(content), 0o600))
}

// run runs a command line and returns its exit code and its streams.
func (h *home) run(args ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	code = Run(h.t.Context(), args, Process{Dir: h.dir, Environ: h.env, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func TestTrainCommand(t *testing.T) {
	h := newHome(t)
	code, stdout, stderr := h.run("train")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, "150 rows, 4 features, 3 classes\n")
	assert.Contains(t, stdout, "LogisticRegression(C=10, max_iter=1000, tol=1e-08): hold-out accuracy 1.0000, log-loss 0.0833\n")
	assert.Contains(t, stdout, "iris version 1 is now the champion")
	assert.Contains(t, stderr, `"msg":"promoted"`)
	assert.FileExists(t, filepath.Join(h.dir, "data", "iris.csv"))
	assert.FileExists(t, filepath.Join(h.dir, "mlruns", "index.json"), "the folder is meant from mlflow.yaml")

	code, stdout, _ = h.run("train")
	require.Zero(t, code)
	assert.Equal(t, "Nothing to do: iris version 1 is the champion and comes from the same data, parameters and code (--force trains anyway).\n", stdout)

	code, stdout, _ = h.run("train", "--force")
	require.Zero(t, code)
	assert.Contains(t, stdout, "iris version 2 is now the champion")

	code, stdout, _ = h.run("list")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 3)
	assert.Regexp(t, `^1 +previous +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +LogisticRegression +1\.0000 +0\.0833 +[0-9a-f]{32}$`, lines[1])
	assert.Regexp(t, `^2 +champion `, lines[2])

	code, stdout, _ = h.run("rollback")
	require.Zero(t, code)
	assert.Equal(t, "iris version 1 is now the champion.\n", stdout)
	code, stdout, _ = h.run("promote", "1")
	require.Zero(t, code)
	assert.Equal(t, "iris version 1 is the champion already.\n", stdout)
	code, _, stderr = h.run("promote", "7")
	assert.Equal(t, process.ExitUsage, code)
	assert.Equal(t, "trainer: version 7: does not exist in model iris; choose one that trainer list shows\n", stderr)
}

func TestTrainAnotherFile(t *testing.T) {
	h := newHome(t, "MODEL_NAME=signs")
	require.NoError(t, os.Remove(filepath.Join(h.dir, "params.yaml")))
	h.write("signs.csv", "x;kind\n"+strings.Repeat("1;да\n2;нет\n", 20))
	code, stdout, stderr := h.run("train", "--data", "signs.csv", "--label", "kind")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, "40 rows, 1 features, 2 classes")
	assert.Contains(t, stdout, "signs version 1 is now the champion")
}

func TestGateDecidesOnTheExitCode(t *testing.T) {
	h := newHome(t)
	h.write("params.yaml", "data: data/iris.csv\nlabel: species\ncandidates: [{estimator: DummyClassifier}]\n")
	code, stdout, _ := h.run("train")
	assert.Equal(t, exitRefused, code)
	assert.Contains(t, stdout, "Gate: refused: the hold-out's log-loss 1.0986 does not beat that of the prior, 1.0986\niris has no champion yet")
	code, _, _ = h.run("train", "--allow-unpromoted")
	assert.Equal(t, process.ExitOK, code)
	code, stdout, _ = h.run("list")
	require.Zero(t, code)
	assert.Equal(t, "There is no version of iris yet: trainer train makes the first.\n", stdout)
}

func TestCheckAndCompare(t *testing.T) {
	h := newHome(t)
	code, stdout, stderr := h.run("check")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, "150 rows, 4 features, 3 classes (MD5 013d0da08d6506664ce640459139176b)\n")
	assert.Regexp(t, `\nsepal_length +0 +35 +4\.3 +5\.8 +5\.8433 +0\.8253 +7\.9\n`, stdout)
	assert.Regexp(t, `\nsetosa +50 +33\.3 %\n`, stdout)
	assert.Contains(t, stdout, "Note: 1 rows occur more than once.")
	assert.NoDirExists(t, filepath.Join(h.dir, "mlruns"))

	ids := "Id,a,species\n"
	for i := range 40 {
		ids += fmt.Sprintf("%d,%d,%s\n", i+1, i%7, []string{"x", "y"}[i%2])
	}
	h.write("ids.csv", ids)
	code, stdout, stderr = h.run("check", "ids.csv")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, "Note: column Id is left out: id (consecutive); to keep it: --set columns.Id=number.")
	h.write("texts.csv", "shop;price;species\n"+strings.Repeat("Aix;1,5;x\nNice;?;y\nAix;7;x\nPau;2;\n", 20))
	code, stdout, stderr = h.run("check", "texts.csv", "--json", "-")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, `"kind": "category"`)
	code, stdout, stderr = h.run("check", "texts.csv", "--set", "columns.shop=drop")
	require.Zero(t, code, stderr)
	assert.Regexp(t, `\nshop +category +0 +2 +Aix +left out, as you say`, stdout)
	assert.Regexp(t, `\nprice +number +33 % +2 +1,5 +as it is; missing kept, or the median \(decimal comma; missing: \?\) +--set columns.price=category\n`, stdout)
	assert.Contains(t, stdout, "Note: 20 rows without a label are left out.")

	h.write("bad.csv", "a,b,species\n1,2,x\ntall,2,x\n1,y\n")
	code, stdout, stderr = h.run("check", "bad.csv")
	assert.Equal(t, process.ExitUsage, code)
	assert.Empty(t, stdout)
	assert.Equal(t, 2, strings.Count(stderr, "\n"), "every fault, a line each: %s", stderr)
	assert.Contains(t, stderr, `bad.csv, line 3, column a: "tall" is not a number`)

	for range 2 {
		code, _, stderr = h.run("train", "--force")
		require.Zero(t, code, stderr)
	}
	code, stdout, stderr = h.run("compare", "2", "1")
	require.Zero(t, code, stderr)
	assert.Contains(t, stdout, "30 rows. Log-loss of 2 less that of 1: +0.0000, 95 % interval +0.0000 to +0.0000. McNemar p = 1.000.\n")
	code, _, stderr = h.run("compare", "2", "7")
	assert.Equal(t, process.ExitUsage, code)
	assert.Equal(t, "trainer: version 7: does not exist in model iris; choose one that trainer list shows\n", stderr)
}

func TestBadInput(t *testing.T) {
	rows := "a,b,kind\n" + strings.Repeat("1,2,x\n3,4,y\n", 10)
	csv := func(content string) func(*home) { return func(h *home) { h.write("table.csv", content) } }
	data := []string{"train", "--data", "table.csv", "--label", "kind"}
	cases := map[string]struct {
		prepare func(*home)
		args    []string
		env     []string
		code    int
		want    string
	}{
		"missing CSV":      {nil, data, nil, 2, `table.csv: does not exist; name an existing CSV file by --data or by "data" in params.yaml`},
		"ragged row":       {csv(rows + "1,x\n"), data, nil, 2, "table.csv, line 22: there are 2 fields, the header has 3; give every row one field for each column"},
		"text in a number": {csv(rows + "1,tall,x\n"), data, nil, 2, `table.csv, line 22, column b: "tall" is not a number; write a number such as 5.1, or name the column under "drop" in params.yaml`},
		"one class":        {csv("a,kind\n1,x\n2,x\n"), data, nil, 2, `table.csv, column kind: all 2 rows have the label "x"; a classifier needs rows of two classes at least; is this the label column?`},
		"empty file":       {csv(""), data, nil, 2, "table.csv: is empty; give it a header line and rows"},
		"header only":      {csv("a,kind\n"), data, nil, 2, "table.csv: has a header and no rows; add rows below the header"},
		"unknown label":    {csv("a,b\n1,x\n"), data, nil, 2, `table.csv, line 1: there is no label column "kind"; choose it by --label or by "label" in params.yaml from a, b`},
		"too few rows":     {csv("a,kind\n1,x\n2,x\n1,y\n2,y\n"), []string{"train", "--data", "table.csv", "--label", "kind"}, nil, 2, "table.csv: cannot hold out 0.2 of its rows: 3 training and 1 test rows cannot hold all 2 classes; add rows, or choose another test_size"},
		"missing params":   {func(h *home) { _ = os.Remove(filepath.Join(h.dir, "params.yaml")) }, []string{"train"}, nil, 2, "params.yaml: cannot be read: no such file or directory; name a file by --params; see params.yaml in the repository of Petal"},
		"bad params":       {func(h *home) { h.write("params.yaml", "lable: x\n") }, []string{"train"}, nil, 2, "params.yaml: parameters: line 1: field lable is not known; "},
		"edited data":      {func(h *home) { h.write("data/iris.csv", rows) }, []string{"train"}, nil, 2, "iris.csv: has changes that DVC does not know: expected MD5 013d0da08d6506664ce640459139176b, found "},
		"bad pointer":      {func(h *home) { h.write("data/iris.csv.dvc", "outs: []\n") }, []string{"train"}, nil, 2, "iris.csv.dvc: tracks 0 outputs, not one; track the file alone by dvc add"},
		"corrupted object": {
			func(h *home) { h.write("data/remote/files/md5/01/3d0da08d6506664ce640459139176b", rows) },
			[]string{"train"},
			nil, 2,
			`iris.csv: the object in remote "storage" (DIR/data/remote) is corrupted: expected MD5 013d0da08d6506664ce640459139176b (3858 bytes), found `,
		},
		"unwritable registry": {func(h *home) { h.write("mlruns", "a file where the folder should be") }, []string{"train"}, nil, 1, "mlruns"},
		"bad setting":         {nil, []string{"train"}, []string{"TRAIN_SCHEDULE=nightly"}, 2, `TRAIN_SCHEDULE: "nightly" is not a schedule`},
		"unknown command":     {nil, []string{"tarin"}, nil, 2, "trainer --help shows the commands"},
		"unknown flag":        {nil, []string{"train", "--fast"}, nil, 2, "unknown flag --fast"},
		"no command":          {nil, nil, nil, 2, "trainer --help shows the commands"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, c.env...)
			if c.prepare != nil {
				c.prepare(h)
			}
			code, stdout, stderr := h.run(c.args...)
			assert.Equal(t, c.code, code, stderr)
			assert.Empty(t, stdout)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1]
			assert.Contains(t, strings.ReplaceAll(last, h.dir, "DIR"), c.want)
			for _, line := range lines[:len(lines)-1] {
				assert.True(t, strings.HasPrefix(line, `{"time":`), "one line beside the log: %s", line)
			}
			assert.NoFileExists(t, filepath.Join(h.dir, "mlruns", "index.json"))
		})
	}
}

func TestStorageSettingsReachDVC(t *testing.T) {
	h := newHome(t, "AWS_DEFAULT_REGION=of-the-environment")
	h.write(".env", "AWS_ACCESS_KEY_ID=of-the-file\nAWS_DEFAULT_REGION=of-the-file\n")
	a, err := newApp(&Process{Dir: h.dir, Environ: h.env, Stderr: io.Discard}, "train", nil, false)
	require.NoError(t, err)
	assert.Equal(t, "of-the-file", a.getenv("AWS_ACCESS_KEY_ID"))
	assert.Equal(t, "of-the-environment", a.getenv("AWS_DEFAULT_REGION"))
	assert.Empty(t, a.getenv("AWS_ENDPOINT_URL"))
}

func TestHelp(t *testing.T) {
	h := newHome(t)
	code, stdout, stderr := h.run("--help")
	assert.Zero(t, code)
	assert.Empty(t, stderr)
	assert.Contains(t, stdout, `Start with "trainer train".`)
	for _, command := range []string{"train", "serve", "check", "compare", "list", "promote", "rollback", "healthcheck", "version"} {
		code, stdout, stderr := h.run(command, "--help")
		assert.Zero(t, code)
		assert.Empty(t, stderr)
		assert.Contains(t, stdout, "Usage: trainer "+command)
	}
	code, stdout, _ = h.run("version")
	assert.Zero(t, code)
	assert.Regexp(t, `^trainer .+, training version \d+\n$`, stdout)
}

func TestServe(t *testing.T) {
	address := testenv.FreeAddress(t)
	h := newHome(t, "TRAINER_ADDRESS="+address)
	code, _, stderr := h.run("healthcheck")
	require.Equal(t, process.ExitFailure, code)
	require.Contains(t, stderr, "trainer: the server does not answer: ")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log testenv.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, []string{"serve"}, Process{Dir: h.dir, Environ: h.env, Stdout: io.Discard, Stderr: &log})
	}()
	get := func(path string) (int, string) {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(body)
	}
	const promoted = `training_runs_total{result="promoted"} 1`
	require.Eventually(t, func() bool { _, body := get("/metrics"); return strings.Contains(body, promoted) }, time.Minute, 10*time.Millisecond, log.String())
	require.Eventually(t, func() bool { code, _ := get("/ready"); return code == http.StatusOK }, time.Minute, 10*time.Millisecond)

	_, body := get("/metrics")
	for _, name := range []string{
		`training_runs_total{result="unchanged"} 0`, `training_runs_total{result="refused"} 0`, `training_runs_total{result="failure"} 0`,
		"training_in_progress 0", "training_last_run_timestamp_seconds", "training_last_success_timestamp_seconds", "training_last_duration_seconds",
		"training_last_failed 0", `training_holdout_metric{metric="log_loss"} 0.0832`, "training_dataset_rows 150", "registry_up 1",
		"petal_build_info{", "go_goroutines", "process_resident_memory_bytes",
	} {
		assert.Contains(t, body, name)
	}
	status, body := get("/health")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"status":"ok"}`, body)
	status, _ = get("/predict")
	assert.Equal(t, http.StatusNotFound, status)
	code, _, stderr = h.run("healthcheck")
	assert.Zero(t, code, stderr)

	code, _, stderr = h.run("serve")
	assert.Equal(t, process.ExitFailure, code, "the port is in use")
	assert.Contains(t, stderr, fmt.Sprintf("trainer: listen on %s: the port is in use; stop the program that has it, or set TRAINER_ADDRESS to another address\n", address))

	cancel()
	select {
	case code := <-ended:
		assert.Zero(t, code, log.String())
	case <-time.After(10 * time.Second):
		t.Fatal("serve does not stop")
	}
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.Error(t, err)
}

func TestInterrupted(t *testing.T) {
	h := newHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	code := Run(ctx, []string{"train"}, Process{Dir: h.dir, Stdout: io.Discard, Stderr: &stderr})
	assert.Equal(t, process.ExitFailure, code)
	assert.True(t, strings.HasSuffix(stderr.String(), "trainer: interrupted\n"), stderr.String())
}
