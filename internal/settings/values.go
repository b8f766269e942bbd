package settings

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Secret is text that no log, message or dump shows.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders such as JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A ByteSize is a number of bytes, written as "65536", "64KiB" or "16MiB".
type ByteSize int64

// UnmarshalText reads a whole number of bytes, KiB, MiB or GiB.
func (b *ByteSize) UnmarshalText(text []byte) error {
	raw := string(text)
	number, unit := raw, int64(1)
	for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(raw, suffix); ok {
			number, unit = strings.TrimSpace(rest), factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > (1<<40)/unit {
		return Fault{
			Problem: fmt.Sprintf("%q is not a number of bytes", raw),
			Remedy:  "write a whole number above 0, such as 65536 or 64KiB",
		}
	}
	*b = ByteSize(n * unit)
	return nil
}

// A SigningAlg is how tokens are signed: HS256 or EdDSA, as package token knows
// them.
type SigningAlg string

// UnmarshalText reads one of the two names.
func (a *SigningAlg) UnmarshalText(text []byte) error {
	switch alg := SigningAlg(text); alg {
	case "HS256", "EdDSA":
		*a = alg
		return nil
	default:
		return Fault{Problem: fmt.Sprintf("%q is not an algorithm for tokens", text), Remedy: "write HS256 or EdDSA"}
	}
}

// Minutes are the life of an access token.
type Minutes int

// UnmarshalText reads a whole number.
func (m *Minutes) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return Fault{Problem: fmt.Sprintf("%q is not a whole number", text), Remedy: minutesRemedy}
	}
	*m = Minutes(n)
	return nil
}

// maxTokenMinutes is 24 hours, the contract's bound.
const maxTokenMinutes = 24 * 60

const minutesRemedy = "write a whole number of minutes from 1 to 1440 (24 hours)"

// An Interval is a [time.Duration] above zero, written with its unit.
type Interval time.Duration

// UnmarshalText reads a duration such as "10s" or "1m30s".
func (i *Interval) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return Fault{
			Problem: fmt.Sprintf("%q is not a duration above 0", text),
			Remedy:  "write a number with its unit, such as 10s, 500ms or 1m",
		}
	}
	*i = Interval(d)
	return nil
}

// Duration is the interval as the standard library has it.
func (i Interval) Duration() time.Duration { return time.Duration(i) }

// A Delay is a [time.Duration] of zero or more, written with its unit or as "0".
type Delay time.Duration

// UnmarshalText reads a duration such as "3s", or "0".
func (d *Delay) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return Fault{Problem: fmt.Sprintf("%q is not a duration", text), Remedy: "write a number with its unit, such as 3s, or 0"}
	}
	*d = Delay(parsed)
	return nil
}

// Duration is the delay as the standard library has it.
func (d Delay) Duration() time.Duration { return time.Duration(d) }

// A Count is how many there may be of something.
type Count int

// UnmarshalText reads a whole number above zero.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n < 1 {
		return Fault{Problem: fmt.Sprintf("%q is not a whole number above 0", text), Remedy: "write one such as 1000, or leave it empty"}
	}
	*c = Count(n)
	return nil
}

// A Switch is on or off.
type Switch bool

// UnmarshalText reads true or false.
func (s *Switch) UnmarshalText(text []byte) error {
	on, err := strconv.ParseBool(string(text))
	if err != nil {
		return Fault{Problem: fmt.Sprintf("%q is neither true nor false", text), Remedy: "write true or false"}
	}
	*s = Switch(on)
	return nil
}

// A RootPath is the first part of URL paths, such as "/petal"; empty for none.
type RootPath string

var rootPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/?$`)

// UnmarshalText reads a path; a slash at its end means nothing.
func (p *RootPath) UnmarshalText(text []byte) error {
	if !rootPath.Match(text) {
		return Fault{
			Problem: fmt.Sprintf("%q is not the path of a URL", text),
			Remedy:  "write one that begins with a slash, such as /petal, of letters, digits and . _ ~ -, or leave it empty",
		}
	}
	*p = RootPath(strings.TrimSuffix(string(text), "/"))
	return nil
}

// An Address is where a server listens, "host:port"; an empty host means all
// interfaces, port 0 any free one.
type Address string

// UnmarshalText reads host:port with a numeric port.
func (a *Address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return Fault{
			Problem: fmt.Sprintf("%q is not host:port", text),
			Remedy:  "write an address with a port from 0 to 65535, such as 127.0.0.1:8000 or :8000",
		}
	}
	*a = Address(text)
	return nil
}

// A TrackingURI is the URL of an MLflow tracking server. Empty means the
// directory registry.
type TrackingURI string

// UnmarshalText reads an http or https URL.
func (u *TrackingURI) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		// The value is not shown: it may hold a password that no parser found.
		return Fault{
			Problem: "is not an http:// or https:// URL",
			Remedy:  "write one such as http://localhost:5000, or leave it empty for the directory registry",
		}
	}
	*u = TrackingURI(strings.TrimRight(string(text), "/"))
	return nil
}

// LogValue hides a password in the URL.
func (u TrackingURI) LogValue() slog.Value {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return slog.StringValue(redacted)
	}
	return slog.StringValue(parsed.Redacted())
}

// Proxies are the networks whose X-Forwarded-For header is believed.
type Proxies []netip.Prefix

// UnmarshalText reads addresses and networks separated by commas.
func (p *Proxies) UnmarshalText(text []byte) error {
	var prefixes Proxies
	for item := range strings.SplitSeq(string(text), ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(item); err == nil {
				prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
			}
		}
		if err != nil {
			return Fault{
				Problem: fmt.Sprintf("%q is neither an IP address nor a network", item),
				Remedy:  "separate addresses and networks by commas, such as 10.0.0.0/8,192.0.2.7",
			}
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	*p = prefixes
	return nil
}
