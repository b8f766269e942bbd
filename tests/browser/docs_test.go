// Package browser drives the pages that the API serves in a real Chromium.
package browser

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// screenshotVariable names a folder to keep a picture of the page in.
const screenshotVariable = "PETAL_SCREENSHOTS"

// A user logs in at /docs, tries POST /predict with the example that is there,
// and sees the answer. The page asks no other machine for anything.
func TestDocs(t *testing.T) {
	chromium := findChromium(t)
	petal := installation.New(t)
	petal.Train()
	api := petal.StartAPI()
	page, requested := open(t, chromium)

	const operation = "#operations-Predictions-predict"
	var label, status string
	run(page, t, "load the page", chromedp.Navigate(api.URL+"/docs"), chromedp.WaitVisible(operation))
	run(page, t, "log in",
		chromedp.Click(".btn.authorize"),
		chromedp.WaitVisible("#oauth_username"),
		chromedp.SendKeys("#oauth_username", "student"),
		chromedp.SendKeys("#oauth_password", strings.TrimSpace(petal.Read("var/initial_password"))),
		chromedp.Click(`//h4[contains(., "oauth2")]/ancestor::div[contains(@class,"auth-container")]//button[contains(@class,"authorize")]`),
		chromedp.WaitVisible(`//button[text()="Logout"]`),
		chromedp.Click(".btn-done"))
	run(page, t, "try POST /predict",
		chromedp.Click(operation+" .opblock-summary-control"),
		chromedp.Click(operation+" .try-out__btn"),
		chromedp.Click(operation+" .execute"),
		chromedp.WaitVisible(operation+" .live-responses-table"),
		chromedp.Text(operation+" .live-responses-table .response .response-col_status", &status),
		chromedp.Text(operation+" .live-responses-table .highlight-code", &label))
	keepScreenshot(page, t)
	var complaints int
	run(page, t, "look for complaints", chromedp.Evaluate(`document.querySelectorAll(".errors-wrapper").length`, &complaints))
	require.Zero(t, complaints, "Swagger UI finds faults in the specification")
	require.True(t, strings.HasPrefix(strings.TrimSpace(status), "200"), status)
	require.Contains(t, label, `"label":`)
	require.Contains(t, label, `"probabilities":`)

	require.Greater(t, len(requested.list()), 4, "the page's requests were not seen")
	for _, address := range requested.list() {
		require.True(t, strings.HasPrefix(address, api.URL+"/") || strings.HasPrefix(address, "data:") || strings.HasPrefix(address, "blob:"),
			"the page asks another machine: %s", address)
	}
}

func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testenv.Missing(t, "no Chromium is installed; Debian's package is chromium")
	return ""
}

// addresses are what a page asked for.
type addresses struct {
	mu  sync.Mutex
	all []string
}

func (a *addresses) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all
}

// open starts a browser that knows no host but this one.
func open(t *testing.T, chromium string) (context.Context, *addresses) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.WindowSize(1280, 1800), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	if os.Geteuid() == 0 { // Chromium's sandbox does not run as root
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	page, closePage := chromedp.NewContext(allocator)
	t.Cleanup(closePage)
	requested := &addresses{}
	chromedp.ListenTarget(page, func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok {
			requested.mu.Lock()
			defer requested.mu.Unlock()
			requested.all = append(requested.all, sent.Request.URL)
		}
	})
	run(page, t, "start", network.Enable())
	return page, requested
}

func run(page context.Context, t *testing.T, what string, actions ...chromedp.Action) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- chromedp.Run(page, actions...) }()
	select {
	case err := <-done:
		require.NoError(t, err, what)
	case <-time.After(30 * time.Second):
		keepScreenshot(page, t)
		require.FailNow(t, what+": the page does not get there")
	}
}

func keepScreenshot(page context.Context, t *testing.T) {
	t.Helper()
	dir := os.Getenv(screenshotVariable)
	if dir == "" {
		return
	}
	var picture []byte
	require.NoError(t, chromedp.Run(page, chromedp.CaptureScreenshot(&picture)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, url.PathEscape(t.Name())+".png"), picture, 0o600))
}
