package compose

import (
	stdhtml "html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A mail is one as Mailpit lists it.
type mail struct {
	ID, Subject string
	Created     time.Time
}

func (s *stack) mails(t *testing.T) []mail {
	t.Helper()
	var list struct{ Messages []mail }
	s.getJSON(t, "mailpit", "/api/v1/messages?limit=200", &list)
	return list.Messages
}

// requireMail waits for a mail with that subject which came after a time, and
// returns its HTML and text.
func (s *stack) requireMail(t *testing.T, subject string, after time.Time, limit time.Duration) (html, text string) {
	t.Helper()
	var found mail
	eventually(t, func() bool {
		for _, m := range s.mails(t) {
			if m.Subject == subject && m.Created.After(after.Truncate(time.Second)) {
				found = m
				return true
			}
		}
		return false
	}, limit, tick, "a mail %q", subject)
	var message struct{ HTML, Text string }
	s.getJSON(t, "mailpit", "/api/v1/message/"+found.ID, &message)
	return message.HTML, message.Text
}

// requireActionable requires what somebody needs who reads the mail on a phone: what
// is wrong, what to do first, and links that open.
func (s *stack) requireActionable(t *testing.T, alert, html, text string) {
	t.Helper()
	runbook := "https://github.com/petal-ml/petal/blob/main/docs/runbooks/" + alert + ".md"
	for _, body := range []string{html, text} {
		require.Contains(t, body, "First steps")
		require.Contains(t, body, "1. ")
		require.Contains(t, body, "docker compose ")
		require.Contains(t, body, runbook)
		require.Contains(t, body, s.url("prometheus", "/graph?"), "the link leads into the Prometheus of this stack")
		require.Contains(t, body, s.url("alertmanager", ""))
		require.NotContains(t, body, "<no value>")
		require.NotContains(t, body, "error expanding template")
	}
	require.Contains(t, html, `name="viewport"`)
	require.FileExists(t, filepath.Join(s.dir, "docs", "runbooks", alert+".md"))
	require.Equal(t, http.StatusOK, s.get(t, "alertmanager", s.link(t, "alertmanager", html).Path, "").Status)
	// Not the page itself: a Prometheus that is built as a Go module has none.
	expression := s.link(t, "prometheus", html).Query().Get("g0.expr")
	require.NotEmpty(t, expression)
	asked := s.get(t, "prometheus", "/api/v1/query?"+url.Values{"query": {expression}}.Encode(), "")
	require.Equal(t, http.StatusOK, asked.Status, "%s: %s", expression, asked)
}

// link returns the first link of a page into a service of the stack.
func (s *stack) link(t *testing.T, service, html string) *url.URL {
	t.Helper()
	match := regexp.MustCompile(`href="(` + s.url(service, "/") + `[^"]*)"`).FindStringSubmatch(html)
	require.NotNil(t, match, "no link into %s", service)
	parsed, err := url.Parse(stdhtml.UnescapeString(match[1]))
	require.NoError(t, err)
	return parsed
}

func testMailAPIDown(t *testing.T, s *stack) {
	stopped := time.Now()
	s.compose(t, "stop", "--timeout", "10", "api")
	html, text := s.requireMail(t, "[CRITICAL] The API is down (ApiDown)", stopped, mailLimit)
	t.Logf("from `docker compose stop api` to the mail, with shortened durations: %s", time.Since(stopped).Round(time.Second))
	s.requireActionable(t, "ApiDown", html, text)
	require.Contains(t, text, "docker compose up -d api")
	require.Contains(t, text, "api:8000")

	started := time.Now()
	s.compose(t, "up", "--detach", "api")
	html, text = s.requireMail(t, "[RESOLVED] The API is down (ApiDown)", started, mailLimit)
	require.Contains(t, text, "It is over.")
	require.NotContains(t, html, "First steps", "nothing is left to do")
	s.requireHealthy(t, healLimit)
}

// Two faults at once, because they do not touch each other: the trainer's data are
// gone, and the newest champion was damaged in the registry's store. The API is paused
// until then, so that it can only meet the damaged one.
func testMailModel(t *testing.T, s *stack) {
	token := s.token(t)
	version := s.requireFlowers(t, token)
	s.compose(t, "pause", "api")
	s.compose(t, "exec", "-T", "trainer", "/app", "train", "--force", "--allow-unpromoted")
	damaged := s.compose(t, "exec", "-T", "mlflow", "sh", "-c",
		`file=$(find /mlflow/artifacts -name model.onnx -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2); printf X | dd of="$file" bs=1 seek=100 conv=notrunc 2>/dev/null; echo "$file"`)
	require.Contains(t, damaged, "model.onnx")
	broken := time.Now()
	s.compose(t, "unpause", "api")
	pointer := filepath.Join(s.dir, "data", "iris.csv.dvc")
	before := string(readFile(t, pointer))
	s.rewrite(t, "data/iris.csv.dvc", `md5: [0-9a-f]{32}`, "md5: "+strings.Repeat("0", 32))
	s.compose(t, "restart", "--timeout", "5", "trainer")

	html, text := s.requireMail(t, "[WARNING] The last training run failed (TrainingFailed)", broken, mailLimit)
	s.requireActionable(t, "TrainingFailed", html, text)
	html, text = s.requireMail(t, "[WARNING] The new champion cannot be loaded (ModelReloadFailing)", broken, mailLimit)
	s.requireActionable(t, "ModelReloadFailing", html, text)
	require.Equal(t, version, s.requireFlowers(t, token), "the last good one serves")
	require.Equal(t, http.StatusOK, s.get(t, "api", "/ready", "").Status)

	mended := time.Now()
	s.compose(t, "exec", "-T", "trainer", "/app", "rollback")
	writeFile(t, pointer, before)
	s.compose(t, "restart", "--timeout", "5", "trainer")
	s.requireMail(t, "[RESOLVED] The new champion cannot be loaded (ModelReloadFailing)", mended, mailLimit)
	s.requireMail(t, "[RESOLVED] The last training run failed (TrainingFailed)", mended, mailLimit)
	require.Equal(t, version, s.requireFlowers(t, token))
	s.requireHealthy(t, healLimit)
	s.requireQuiet(t)
}

// requireQuiet waits until no alert but Watchdog is left.
func (s *stack) requireQuiet(t *testing.T) {
	t.Helper()
	var alerts []struct{ Labels map[string]string }
	eventually(t, func() bool {
		s.getJSON(t, "alertmanager", "/api/v2/alerts?"+url.Values{"active": {"true"}}.Encode(), &alerts)
		return len(alerts) == 1
	}, mailLimit, tick, "only Watchdog is left: %v", &alerts)
}
