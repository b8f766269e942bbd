package settings

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

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
	return slog.New(slog.NewJSONHandler(w, options))
}

// IsTerminal tells whether somebody sits before w. A terminal may be shown what
// a log must not keep, such as a generated password.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
