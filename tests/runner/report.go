package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// An event is a line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64
	Output     string
	Key, Value string // of an attribute: tests report their figures as such
}

// A report counts tests, each subtest as one, and keeps what the reader must
// see.
type report struct {
	mu      sync.Mutex // two runs of go test write
	out     io.Writer
	output  map[string][]string // of running tests, by package and name
	passed  int
	failed  []string
	skipped []string
	figures []string
	failing map[string]bool // packages with a failed test
	counts  map[string]int  // tests run, by package
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string][]string{}, failing: map[string]bool{}, counts: map[string]int{}}
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}

func (r *report) line(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e event
	if json.Unmarshal(line, &e) != nil {
		r.printf("%s", line) // what a test prints past the testing package
		return
	}
	switch {
	case e.Action == "build-output":
		r.printf("%s", e.Output)
	case e.Action == "output":
		r.output[e.key()] = append(r.output[e.key()], e.Output)
	case e.Test != "":
		r.test(e)
	default:
		r.pkg(e)
	}
}

func (r *report) test(e event) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed = append(r.failed, e.key())
		r.failing[e.Package] = true
		r.printf("%s", strings.Join(r.output[e.key()], ""))
	case "attr":
		r.figures = append(r.figures, e.Key+": "+e.Value)
		return
	case "skip":
		r.skipped = append(r.skipped, e.key()+": "+reason(r.output[e.key()]))
	default:
		return
	}
	r.counts[e.Package]++
	delete(r.output, e.key())
}

func (r *report) pkg(e event) {
	switch e.Action {
	case "pass":
		r.printf("ok    %-60s %4d tests %7.1f s\n", e.Package, r.counts[e.Package], e.Elapsed)
	case "fail":
		// A panic, a time-out or a build failure fails no test by name: the
		// tests that were running have the reason in their output.
		if !r.failing[e.Package] {
			r.failed = append(r.failed, e.Package)
			r.flush(e.Package)
		}
		r.printf("FAIL  %-60s %4d tests %7.1f s\n", e.Package, r.counts[e.Package], e.Elapsed)
	}
}

func (r *report) flush(pkg string) {
	var keys []string
	for key := range r.output {
		if key == pkg || strings.HasPrefix(key, pkg+" ") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		r.printf("%s", strings.Join(r.output[key], ""))
	}
}

// finish prints the figures that tests reported, what failed and what was
// skipped, and the count alone on the last line.
func (r *report) finish() {
	r.list("figures", r.figures)
	r.list("failed", r.failed)
	r.list("skipped", r.skipped)
	r.printf("%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
}

func (r *report) list(title string, entries []string) {
	if len(entries) == 0 {
		return
	}
	r.printf("\n%s:\n", title)
	for _, entry := range entries {
		r.printf("  %s\n", entry)
	}
	r.printf("\n")
}

// verdict turns the counts and the end of go test into the runner's error.
func (r *report) verdict(waitErr error, ci bool) error {
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("%d failed", len(r.failed))
	case waitErr != nil:
		return fmt.Errorf("go test: %w", waitErr)
	case r.passed == 0:
		return errors.New("no test ran")
	case ci && len(r.skipped) > 0:
		return fmt.Errorf("%d skipped, which CI=true does not allow", len(r.skipped))
	}
	return nil
}

func (r *report) printf(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

func (e event) key() string {
	if e.Test == "" {
		return e.Package
	}
	return e.Package + " " + e.Test
}

// reason finds what t.Skip said: the line that is none of the framing, without
// its place.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if place, text, found := strings.Cut(line, ": "); found && strings.Contains(place, ".go:") {
			return text
		}
		return line
	}
	return "no reason given"
}
