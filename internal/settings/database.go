package settings

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// The drivers that a [Database] names, as package sqlstore knows them.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgres"
)

// A Database says where the accounts are kept. Source may hold a password:
// Database hides it when it is printed.
type Database struct {
	Driver string // SQLite or PostgreSQL
	Source string // the path of the SQLite file, or a postgres:// URL
}

// ParseDatabase reads a URL as SQLAlchemy spells it: sqlite:///relative/path,
// sqlite:////absolute/path, postgresql://user:password@host:5432/name. A driver
// after a plus sign, as in postgresql+psycopg2://, is ignored.
// https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls
func ParseDatabase(raw string) (Database, error) {
	const remedy = "write sqlite:///./users.db or postgresql://host:5432/name"
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Database{}, Fault{Problem: "is not a URL", Remedy: remedy}
	}
	dialect, _, _ := strings.Cut(scheme, "+")
	switch dialect {
	case "sqlite":
		return parseSQLite(rest)
	case "postgresql", "postgres":
		return parsePostgreSQL(rest)
	default:
		return Database{}, Fault{Problem: fmt.Sprintf("databases of the kind %q are not supported", dialect), Remedy: remedy}
	}
}

func parseSQLite(rest string) (Database, error) {
	path, ok := strings.CutPrefix(rest, "/")
	switch {
	case rest != "" && !ok:
		return Database{}, Fault{
			Problem: fmt.Sprintf("sqlite://%s has two slashes, and SQLite has no host", rest),
			Remedy:  "write three slashes before a relative path and four before an absolute one",
		}
	case path == "" || path == ":memory:" || strings.HasPrefix(path, "file:"):
		return Database{}, Fault{
			Problem: "names no file, so that users would be lost when the program ends",
			Remedy:  "name a file, such as sqlite:///./users.db",
		}
	case strings.ContainsAny(path, "?#"):
		return Database{}, Fault{
			Problem: "has options after the file name",
			Remedy:  "leave out everything from the ? or # on: Petal sets its own pragmas",
		}
	}
	return Database{Driver: SQLite, Source: path}, nil
}

func parsePostgreSQL(rest string) (Database, error) {
	source := "postgres://" + rest
	parsed, err := url.Parse(source)
	// net/url quotes parts of what it refuses, so its words are not passed on.
	if err != nil || parsed.Path == "" || parsed.Path == "/" {
		return Database{}, Fault{
			Problem: "is not postgresql://host:5432/name",
			Remedy:  "name a database after the host, and percent-encode @ / : # before it, in name and password (%40 %2F %3A %23)",
		}
	}
	return Database{Driver: PostgreSQL, Source: source}, nil
}

// UnmarshalText reads the URL; see [ParseDatabase].
func (d *Database) UnmarshalText(text []byte) error {
	parsed, err := ParseDatabase(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// String names the database without its password.
func (d Database) String() string {
	if d.Driver != PostgreSQL {
		return d.Driver + ":" + d.Source
	}
	parsed, err := url.Parse(d.Source)
	if err != nil {
		return d.Driver + ":" + redacted
	}
	parsed.RawQuery = "" // libpq takes a password as a parameter too
	return parsed.Redacted()
}

// GoString hides the password from %#v.
func (d Database) GoString() string { return d.String() }

// LogValue hides the password from slog.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText hides the password from encoders such as JSON.
func (d Database) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
