package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	const (
		pass  = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}`
		fail  = `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: broken\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}`
		skip  = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:3: no python\n"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC"}`
		crash = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: oh\n"}` + "\n" + `{"Action":"fail","Package":"p","Elapsed":1}`
		build = `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: undefined: x\n"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}`
		attr  = `{"Action":"attr","Package":"p","Test":"TestA","Key":"cold_start","Value":"3 s"}`
		empty = `{"Action":"skip","Package":"q"}`
	)
	for _, test := range []struct {
		name   string
		events []string
		exit   error
		ci     bool
		last   string
		prints string
		err    string
	}{
		{name: "all pass", events: []string{pass, empty}, last: "1 passed, 0 failed, 0 skipped"},
		{name: "a failure shows its output", events: []string{pass, fail}, exit: errors.New("exit status 1"), last: "1 passed, 1 failed, 0 skipped", prints: "broken", err: "1 failed"},
		{name: "a skip shows its reason", events: []string{pass, skip}, last: "1 passed, 0 failed, 1 skipped", prints: "p TestC: no python\n"},
		{name: "a skip fails in CI", events: []string{pass, skip}, ci: true, last: "1 passed, 0 failed, 1 skipped", err: "1 skipped, which CI=true does not allow"},
		{name: "a panic shows the test that ran", events: []string{pass, crash}, exit: errors.New("exit status 1"), last: "1 passed, 1 failed, 0 skipped", prints: "panic: oh", err: "1 failed"},
		{name: "a build failure shows the compiler", events: []string{pass, build}, exit: errors.New("exit status 1"), last: "1 passed, 1 failed, 0 skipped", prints: "undefined: x", err: "1 failed"},
		{name: "go test failed without a word", events: []string{pass}, exit: errors.New("exit status 2"), last: "1 passed, 0 failed, 0 skipped", err: "exit status 2"},
		{name: "a figure is shown", events: []string{attr, pass}, last: "1 passed, 0 failed, 0 skipped", prints: "cold_start: 3 s\n"},
		{name: "nothing ran", events: []string{empty}, last: "0 passed, 0 failed, 0 skipped", err: "no test ran"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			report := newReport(&out)
			require.NoError(t, report.read(strings.NewReader(strings.Join(test.events, "\n"))))
			report.finish()
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			require.Equal(t, test.last, lines[len(lines)-1])
			require.Contains(t, out.String(), test.prints)
			err := report.verdict(test.exit, test.ci)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	list := func() ([]string, error) { return []string{"m/internal/a", "m/tests/compose", "m/tests/e2e"}, nil }
	first, rest, err := schedule([]string{"-race", "./...", "-v"}, list)
	require.NoError(t, err)
	require.Regexp(t, `^-p=\d+ -parallel=\d+ -race ./tests/compose -v$`, strings.Join(first, " "))
	require.Equal(t, first[:3], rest[:3])
	require.Equal(t, append(slices.Clone(long), "m/internal/a", "m/tests/e2e", "-v"), rest[3:], "the long ones come first, the stack's apart")

	asked := []string{"-p=1", "-parallel=3", "./internal/onnx"}
	first, rest, err = schedule(asked, list)
	require.NoError(t, err)
	require.Nil(t, first)
	require.Equal(t, asked, rest)
	require.Equal(t, []string{"-race", "-gcflags=x=-N", "./a"}, buildArgs([]string{"-p=4", "-race", "-vet=off", "-gcflags=x=-N", "./a"}))
}

// Of two runs at once each line is counted whole.
func TestReportOfTwoRuns(t *testing.T) {
	var out bytes.Buffer
	report := newReport(&out)
	var runs sync.WaitGroup
	for _, pkg := range []string{"p", "q"} {
		runs.Go(func() {
			line := `{"Action":"pass","Package":"` + pkg + `","Test":"TestA"}` + "\n"
			assert.NoError(t, report.read(strings.NewReader(strings.Repeat(line, 10_000))))
		})
	}
	runs.Wait()
	report.finish()
	require.Contains(t, out.String(), "20000 passed")
}
