package trial

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// children are what the test binary does in place of its tests.
var children = map[string]func(){
	"try-model": func() {
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	},
	"grow": grow, // beyond what the parent lets it have
	"grow confined": func() { // beyond what the kernel lets it have
		confine(32<<20, 60)
		grow()
	},
	"recurse": func() { fmt.Println(recurse(0)) },
	"wait":    func() { time.Sleep(time.Hour) },
	"chatter": func() { fmt.Print(strings.Repeat("x", 1<<20)) },
	"tell": func() {
		sacrifice()
		score, _ := os.ReadFile("/proc/self/oom_score_adj")
		fmt.Printf(`{"reason":"oom_score_adj %s, environment %v"}`, strings.TrimSpace(string(score)), os.Environ())
	},
}

var kept [][]byte

func grow() {
	for range 1 << 12 { // 4 GiB, if nothing stops it
		kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
	}
}

func recurse(n int) int {
	if n < 0 {
		return n
	}
	return recurse(n+1) + 1
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if do, ok := children[os.Args[1]]; ok {
			do()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func opener(child string) *Opener {
	return &Opener{Command: []string{os.Args[0], child}, Memory: 64 << 20}
}

func files(t *testing.T, dir mlmodel.Dir) model.Files {
	t.Helper()
	f, err := dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "r"})
	require.NoError(t, err)
	return model.Files{MLmodel: f["MLmodel"], ONNX: f["model.onnx"], Example: f["input_example.json"]}
}

func TestOpens(t *testing.T) {
	iris := files(t, servingtest.Iris(t))
	m, err := opener("try-model").Open(t.Context(), iris, model.Expect{})
	require.NoError(t, err)
	assert.Len(t, m.Info().Example, 3)
	m, err = opener("try-model").Open(t.Context(), model.Files{ONNX: iris.ONNX}, model.Expect{})
	require.NoError(t, err)
	assert.Equal(t, "f0", m.Info().Features[0].Name)
	_, err = (*Opener)(nil).Open(t.Context(), iris, model.Expect{})
	require.NoError(t, err)
}

// TestRefuses: what the child finds comes back as the error of the model.
func TestRefuses(t *testing.T) {
	messages := golden.New(t)
	iris := files(t, servingtest.Iris(t))
	_, err := opener("try-model").Open(t.Context(), iris, model.Expect{Size: "7"})
	require.Error(t, err)
	messages.Add("another size", err)

	small := opener("try-model")
	small.Memory = int64(len(iris.ONNX))
	_, err = small.Open(t.Context(), iris, model.Expect{})
	require.Error(t, err)
	messages.Add("a large file", err)

	none := opener("try-model")
	none.Left = func() int64 { return 1 << 20 }
	_, err = none.Open(t.Context(), iris, model.Expect{})
	require.Error(t, err)
	messages.Add("no memory left", err)

	long := servingtest.IrisLabelled(t, onnx.Labels{Strings: []string{"a", strings.Repeat("b", 200_000), "c"}})
	_, err = opener("try-model").Open(t.Context(), files(t, long), model.Expect{})
	require.Error(t, err)
	messages.Add("a long label", err)
}

// TestChildrenThatEnd: whatever becomes of the child, this process goes on and says
// what happened.
func TestChildrenThatEnd(t *testing.T) {
	messages := golden.New(t)
	for _, child := range []string{"grow", "recurse", "chatter", "tell"} {
		t.Run(child, func(t *testing.T) {
			_, err := opener(child).Open(t.Context(), model.Files{}, model.Expect{})
			require.Error(t, err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			messages.Add(child, err)
		})
	}
	free := opener("grow confined")
	free.Memory = 1 << 40
	_, err := free.Open(t.Context(), model.Files{}, model.Expect{})
	require.Error(t, err, "the kernel ends it, in words of its own")
	_, err = (&Opener{Command: []string{"/nowhere"}}).Open(t.Context(), model.Files{}, model.Expect{})
	require.Error(t, err)
	messages.Add("no program", err)
}

func TestChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := opener("wait").Open(ctx, model.Files{}, model.Expect{})
	require.ErrorIs(t, err, context.Canceled)

	o := opener("wait")
	o.Timeout = 10 * time.Millisecond
	_, err = o.Open(t.Context(), model.Files{}, model.Expect{})
	require.ErrorContains(t, err, "took longer than 10ms")
	require.NotErrorIs(t, err, context.DeadlineExceeded, "that would be a fault of the registry")
}
