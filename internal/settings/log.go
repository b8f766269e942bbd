package settings

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// Log says what is logged, and how.
type Log struct {
	Level  LogLevel  `env:"LOG_LEVEL" envDefault:"info"`
	Format LogFormat `env:"LOG_FORMAT"`
}

// A LogLevel is the least level that is logged.
type LogLevel slog.Level

// UnmarshalText reads debug, info, warn or error in any case.
func (l *LogLevel) UnmarshalText(text []byte) error {
	var level slog.Level
	name := strings.ToUpper(string(text))
	if name == "WARNING" {
		name = "WARN"
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return Fault{Problem: fmt.Sprintf("%q is not a log level", text), Remedy: "write debug, info, warn or error"}
	}
	*l = LogLevel(level)
	return nil
}

// Level makes a LogLevel a [slog.Leveler].
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// A LogFormat is how lines are written; the zero value chooses text on a
// terminal and JSON elsewhere.
type LogFormat string

// The formats of log lines.
const (
	LogAuto LogFormat = ""
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// UnmarshalText reads text or json.
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch format := LogFormat(strings.ToLower(string(text))); format {
	case LogText, LogJSON:
		*f = format
		return nil
	default:
		return Fault{
			Problem: fmt.Sprintf("%q is not a log format", text),
			Remedy:  "write text or json, or leave it empty: text on a terminal, json elsewhere",
		}
	}
}

// Logger writes to w.
func Logger(w io.Writer, format LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == LogText || (format == LogAuto && IsTerminal(w)) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(escaped{w}, options))
}

// Printable writes what a terminal would obey, or would not show, as escapes: names,
// labels, tags and messages may come from a registry or a file of anybody's.
func Printable(s string) string {
	if !strings.ContainsFunc(s, isHidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isHidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			_, _ = b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			_, _ = b.WriteRune(r)
		}
	}
	return b.String()
}

// isHidden is true of control and format characters, such as those that begin an
// escape sequence or turn the direction of writing. Spaces of all kinds are shown.
func isHidden(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r)
}

// An escaped writes JSON for eyes too: its encoder leaves characters as they are that
// a terminal obeys.
type escaped struct{ io.Writer }

// Write takes one line, or several whole ones.
func (e escaped) Write(line []byte) (int, error) {
	hidden := func(r rune) bool { return r != '\n' && isHidden(r) }
	if !bytes.ContainsFunc(line, hidden) {
		return e.Writer.Write(line)
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		if !hidden(r) {
			_, _ = b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			_, _ = fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	_, err := e.Writer.Write(b.Bytes())
	return len(line), err
}

// IsTerminal tells whether somebody sits before w. A terminal may be shown what
// a log must not keep, such as a generated password.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
