package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// proxies are the networks that are believed what they say of a request.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(a) })
}

// client is the address that a request comes from: that of the connection, or
// behind trusted proxies the last one in X-Forwarded-For that is none of them.
// Where that header does not say one, it is the address of the proxy that left it
// out: somebody always stands for a request.
func (p proxies) client(r *http.Request) netip.Addr {
	at := hop(r.RemoteAddr)
	if !p.trust(at) {
		return at
	}
	for _, header := range slices.Backward(r.Header.Values("X-Forwarded-For")) {
		for _, written := range slices.Backward(strings.Split(header, ",")) {
			if strings.TrimSpace(written) == "" {
				continue
			}
			before := hop(written)
			if !before.IsValid() {
				return at // what stands left of it is nobody's word
			}
			if at = before; !p.trust(at) {
				return at
			}
		}
	}
	return at
}

// hop reads an address as proxies write it: with or without a port, brackets,
// quotes or a zone. It is not valid where there is none.
func hop(written string) netip.Addr {
	written = strings.Trim(strings.TrimSpace(written), `"`)
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(written, "["), "]"))
	if err != nil {
		withPort, _ := netip.ParseAddrPort(written) // the zero value where it is none
		a = withPort.Addr()
	}
	return a.Unmap().WithZone("")
}

// onePrefix is a path without an end slash that no URL means anything else by.
var onePrefix = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// prefix is what stands before the path where the client asks: as trusted proxies
// say that strip it, else as the settings say.
func (p proxies) prefix(r *http.Request, rootPath string) string {
	values := r.Header.Values("X-Forwarded-Prefix")
	if len(values) != 1 || !p.trust(hop(r.RemoteAddr)) {
		return rootPath
	}
	prefix := ""
	for part := range strings.SplitSeq(values[0], ",") { // of several proxies, the first one first
		prefix += strings.TrimRight(strings.TrimSpace(part), "/")
	}
	if !onePrefix.MatchString(prefix) {
		return rootPath
	}
	return prefix
}

// routePath is the path that routes are found by: decoded, so that every spelling
// of a URL means the same, but for a % and a slash within a part, which stay
// encoded. A proxy may pass rootPath on or not.
func routePath(u *url.URL, rootPath string) string {
	path := u.Path
	if u.RawPath != "" || strings.Contains(path, "%") {
		parts := strings.Split(u.EscapedPath(), "/")
		for i, part := range parts {
			if decoded, err := url.PathUnescape(part); err == nil { // it was valid when it was read
				parts[i] = keepEncoded.Replace(decoded)
			}
		}
		path = strings.Join(parts, "/")
	}
	if below, ok := strings.CutPrefix(path, rootPath); ok && rootPath != "" && (below == "" || below[0] == '/') {
		return "/" + strings.TrimPrefix(below, "/")
	}
	return path
}

var keepEncoded = strings.NewReplacer("%", "%25", "/", "%2F")
