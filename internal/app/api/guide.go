package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// maxSamples bounds the rows shown in a guide.
const maxSamples = 3

// A guide is what somebody at a terminal needs for a first prediction.
type guide struct {
	program  string // how it was started
	url      string
	user     string
	password string // empty: not the generated one, which is the only one known here
	model    *serving.Info
}

// writeGuide prints commands that can be pasted into any POSIX shell with curl
// and sed.
func writeGuide(w io.Writer, g guide) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nPetal is ready at %s with model %s, version %s.\n\n", g.url, g.model.Name, g.model.Version)
	fmt.Fprintf(&b, "  User:     %s\n", g.user)
	password, change := g.password, pasteable(g.program, "user passwd "+g.user)
	if password == "" {
		password = "YOUR PASSWORD"
		fmt.Fprintf(&b, "  Password: the one that was set; %s sets another\n", change)
	} else {
		fmt.Fprintf(&b, "  Password: %s  (made at the first start; %s changes it)\n", password, change)
	}
	b.WriteString("\nPaste this into another terminal to log in:\n\n")
	fmt.Fprintf(&b, "  TOKEN=$(curl -s %s/token --data-urlencode %s --data-urlencode %s |\n", g.url, quote("username="+g.user), quote("password="+password))
	b.WriteString(`    sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')` + "\n")
	b.WriteString("\nand this for predictions:\n\n")
	for _, row := range samples(g.model) {
		fmt.Fprintf(&b, "  curl -s %s/predict -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n    -d %s\n",
			g.url, quote(`{"features":`+row+`}`))
	}
	b.WriteString("\nCtrl-C stops it.\n\n")
	_, _ = io.WriteString(w, b.String()) // a terminal that is gone needs no guide
}

// writeWaiting tells why nothing happens yet.
func writeWaiting(w io.Writer, name, alias string) {
	_, _ = fmt.Fprintf(w, "\nPetal waits for a model: the registry has no %s@%s yet. In another terminal: trainer train\n", name, alias)
}

// samples are rows to try, as JSON: the model's own examples, as they differ.
func samples(m *serving.Info) []string {
	var rows []string
	for _, example := range m.Example {
		text, err := json.Marshal(example)
		if err == nil && !slices.Contains(rows, string(text)) && !slices.ContainsFunc(example, model.Cell.IsMissing) {
			rows = append(rows, string(text))
		}
	}
	if isIris(m) && len(rows) < maxSamples {
		// One row of each class of Fisher's data.
		return []string{"[5.1,3.5,1.4,0.2]", "[7.0,3.2,4.7,1.4]", "[6.3,3.3,6.0,2.5]"}
	}
	if len(rows) == 0 {
		row, _ := json.Marshal(m.MadeUp(0)) // cells always encode
		return []string{string(row)}
	}
	return rows[:min(len(rows), maxSamples)]
}

func isIris(m *serving.Info) bool {
	return slices.EqualFunc(m.Features, []string{"sepal_length", "sepal_width", "petal_length", "petal_width"},
		func(f model.Feature, name string) bool { return f.Name == name })
}

// quote makes one word of a POSIX shell.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// baseURL is where a client on this machine finds a server that listens on
// address.
func baseURL(address string, tls bool) string {
	scheme := "http"
	if tls {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return scheme + "://" + address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
		if ip == netip.IPv6Loopback() {
			host = "::1"
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
