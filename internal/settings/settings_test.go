package settings_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/joho/godotenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

const goodKey = "b3Vd9zQ1rKfWm7TnXy5LhGp2JcEaU8sD0iNw4oRtZqY"

func TestDefaults(t *testing.T) {
	api, err := settings.Load[settings.API](t.TempDir(), nil)
	require.NoError(t, err)
	assert.Equal(t, settings.Database{Driver: settings.SQLite, Source: "./users.db"}, api.Database)
	assert.Empty(t, api.SecretKey)
	assert.Empty(t, api.TrackingURI)
	assert.Equal(t, settings.Address(":8000"), api.Address)
	assert.Equal(t, "student", api.Username)
	assert.Equal(t, 30*time.Minute, api.TokenLifetime())
	assert.Equal(t, "iris", api.ModelName)
	assert.Equal(t, "champion", api.ModelAlias)
	assert.Equal(t, 10*time.Second, api.ModelPollInterval.Duration())
	assert.Equal(t, settings.ByteSize(65536), api.PredictMaxBytes)
	assert.Equal(t, settings.ByteSize(16<<20), api.BatchMaxBytes)
	assert.Equal(t, 15*time.Second, api.ReadTimeout.Duration())
	assert.Equal(t, 30*time.Second, api.WriteTimeout.Duration())
	assert.Equal(t, 620*time.Second, api.IdleTimeout.Duration())
	assert.Equal(t, 3*time.Second, api.DrainMin.Duration())
	assert.Zero(t, api.MaxConnections)
	assert.Empty(t, api.RootPath)
	assert.True(t, bool(api.H2C))
	assert.Equal(t, "./var", api.StateDir)
	assert.Equal(t, settings.MLflow{ArtifactLocation: "./mlruns", ExperimentName: "iris_classification"}, api.MLflow)
	assert.Equal(t, slog.LevelInfo, api.Level.Level())

	trainer, err := settings.Load[settings.Trainer](t.TempDir(), nil)
	require.NoError(t, err)
	assert.Equal(t, settings.Address(":8001"), trainer.Address)
	assert.Empty(t, trainer.Schedule)
}

func TestDotEnvOfWindows(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".env"), "\ufeffMODEL_NAME=from-file\r\nMODEL_ALIAS=latest\r\n")
	api, err := settings.Load[settings.API](dir, nil)
	require.NoError(t, err)
	assert.Equal(t, "from-file", api.ModelName)
	assert.Equal(t, "latest", api.ModelAlias)
}

func TestEnvironmentWinsOverDotEnv(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".env"), "MODEL_NAME=from-file\nMODEL_ALIAS=from-file\nAPI_USERNAME=\nMLFLOW_TRACKING_URI=http://file:5000\n")

	api, err := settings.Load[settings.API](dir, []string{
		"MODEL_NAME=from-environment", "MODEL_POLL_INTERVAL=", "MLFLOW_TRACKING_URI=", "HOME=/nowhere", "NOT_AN_ASSIGNMENT",
	})
	require.NoError(t, err)
	assert.Equal(t, "from-environment", api.ModelName)
	assert.Equal(t, "from-file", api.ModelAlias)
	assert.Equal(t, "student", api.Username, "empty counts as unset")
	assert.Equal(t, 10*time.Second, api.ModelPollInterval.Duration(), "empty counts as unset")
	assert.Empty(t, api.TrackingURI, "an empty variable of the environment hides the one of .env")
}

func TestKeyKeepsItsBytes(t *testing.T) {
	dir := t.TempDir()
	key := goodKey + "$x # é"
	write(t, filepath.Join(dir, ".env"), "SECRET_KEY='"+key+"'\n")
	api, err := settings.Load[settings.API](dir, nil)
	require.NoError(t, err)
	require.Equal(t, key, api.SecretKey.Reveal())
}

// requireFault takes one fault of a variable, in one line and with a remedy.
func requireFault(t *testing.T, err error, variable string) {
	t.Helper()
	var faults settings.Faults
	require.ErrorAs(t, err, &faults)
	require.Len(t, faults, 1, "%v", err)
	require.Equal(t, variable, faults[0].Variable)
	require.NotEmpty(t, faults[0].Remedy)
	require.NotContains(t, err.Error(), "\n", "one line")
}

func TestFaultsNameVariableAndRemedy(t *testing.T) {
	messages := golden.New(t)
	tests := []struct {
		name     string
		variable string
		value    string
	}{
		{"minutes as text", "ACCESS_TOKEN_EXPIRE_MINUTES", "ten"},
		{"minutes with a fraction", "ACCESS_TOKEN_EXPIRE_MINUTES", "1.5"},
		{"minutes over a day", "ACCESS_TOKEN_EXPIRE_MINUTES", "1441"},
		{"minutes zero", "ACCESS_TOKEN_EXPIRE_MINUTES", "0"},
		{"interval without unit", "MODEL_POLL_INTERVAL", "10"},
		{"interval negative", "MODEL_POLL_INTERVAL", "-1s"},
		{"bytes as text", "PREDICT_MAX_BYTES", "lots"},
		{"bytes negative", "BATCH_MAX_BYTES", "-1"},
		{"bytes beyond int64", "BATCH_MAX_BYTES", "9999999999999GiB"},
		{"address without port", "API_ADDRESS", "localhost"},
		{"address with a port too high", "API_ADDRESS", ":65536"},
		{"tracking URI of another kind", "MLFLOW_TRACKING_URI", "file:./mlruns"},
		{"tracking URI without host", "MLFLOW_TRACKING_URI", "http://"},
		{"database of another kind", "DATABASE_URL", "mysql://localhost/x"},
		{"database as a path", "DATABASE_URL", "./users.db"},
		{"database in memory", "DATABASE_URL", "sqlite://"},
		{"database with two slashes", "DATABASE_URL", "sqlite://users.db"},
		{"database with options", "DATABASE_URL", "sqlite:///users.db?mode=ro"},
		{"database without a name", "DATABASE_URL", "postgresql://localhost"},
		{"admin port for everybody", "ADMIN_ADDRESS", ":6060"},
		{"proxy", "TRUSTED_PROXIES", "10.0.0.0/8,proxy"},
		{"timeout of zero", "READ_TIMEOUT", "0"},
		{"timeout without unit", "WRITE_TIMEOUT", "30"},
		{"timeout as text", "IDLE_TIMEOUT", "never"},
		{"drain of less than nothing", "DRAIN_MIN", "-1s"},
		{"drain without unit", "DRAIN_MIN", "3"},
		{"no connections", "MAX_CONNECTIONS", "0"},
		{"connections as text", "MAX_CONNECTIONS", "many"},
		{"root path without a slash", "ROOT_PATH", "petal"},
		{"root path of another host", "ROOT_PATH", "//example.org"},
		{"switch", "H2C", "maybe"},
		{"level", "LOG_LEVEL", "loud"},
		{"format", "LOG_FORMAT", "xml"},
		{"model name", "MODEL_NAME", "a/b"},
		{"alias like a version", "MODEL_ALIAS", "v3"},
		{"alias with a space", "MODEL_ALIAS", "the champion"},
		{"user name", "API_USERNAME", "../root"},
		{"key too short", "SECRET_KEY", "abc"},
		{"previous key too regular", "SECRET_KEY_PREVIOUS", strings.Repeat("ab", 20)},
		{"password too common", "API_PASSWORD", "password123"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := settings.Load[settings.API](t.TempDir(), []string{tt.variable + "=" + tt.value})
			requireFault(t, err, tt.variable)
			messages.Add(tt.name, err)
		})
	}
	_, err := settings.Load[settings.API](t.TempDir(), []string{"TLS_CERT_FILE=cert.pem"})
	requireFault(t, err, "TLS_KEY_FILE")
	messages.Add("certificate without key", err)
	_, err = settings.Load[settings.Trainer](t.TempDir(), []string{"TRAIN_SCHEDULE=every night"})
	requireFault(t, err, "TRAIN_SCHEDULE")
	messages.Add("schedule as text", err)
	_, err = settings.Load[settings.Trainer](t.TempDir(), []string{"TRAIN_SCHEDULE=0 3 30 2 *"})
	requireFault(t, err, "TRAIN_SCHEDULE")
	messages.Add("schedule for the thirtieth of February", err)
	_, err = settings.Load[settings.Trainer](t.TempDir(), []string{"TRAIN_SCHEDULE=0 3 * * *"})
	require.NoError(t, err)
}

// within is an error for the golden file, with DIR in place of a temporary directory.
func within(dir string, err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), dir, "DIR"))
}

func TestAllFaultsAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "mlflow.yaml"), "artefact_location: ./x\n")
	_, err := settings.Load[settings.API](dir, []string{
		"SECRET_KEY=short", "ACCESS_TOKEN_EXPIRE_MINUTES=x", "MODEL_POLL_INTERVAL=x", "DATABASE_URL=x", "API_USERNAME=-",
	})
	var faults settings.Faults
	require.ErrorAs(t, err, &faults)
	var variables []string
	for _, f := range faults {
		variables = append(variables, f.Variable)
	}
	require.ElementsMatch(t, []string{
		"SECRET_KEY", "ACCESS_TOKEN_EXPIRE_MINUTES", "MODEL_POLL_INTERVAL", "DATABASE_URL", "API_USERNAME", filepath.Join(dir, "mlflow.yaml"),
	}, variables)
	require.Len(t, strings.Split(err.Error(), "\n"), 6)
}

func TestNoFaultShowsASecret(t *testing.T) {
	messages := golden.New(t)
	secret := "hunter2hunter2"
	for name, value := range map[string]string{
		"SECRET_KEY":          secret,
		"SECRET_KEY_PREVIOUS": secret,
		"API_PASSWORD":        "hunter",
		"DATABASE_URL":        "postgresql://petal:" + secret + "/x@host/n",
		"MLFLOW_TRACKING_URI": "ftp://petal:" + secret + "@host",
	} {
		_, err := settings.Load[settings.API](t.TempDir(), []string{name + "=" + value})
		requireFault(t, err, name)
		require.NotContains(t, err.Error(), "hunter")
		messages.Add(name, err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".env"), "# a comment\nMODEL_NAME=iris\nSECRET_KEY hunter2\nX=1\n")
	_, err := settings.Load[settings.API](dir, nil)
	requireFault(t, err, filepath.Join(dir, ".env"))
	require.NotContains(t, err.Error(), "hunter")
	messages.Add("line 3 of .env", within(dir, err))
}

func TestSecretsAreNotPrinted(t *testing.T) {
	api, err := settings.Load[settings.API](t.TempDir(), []string{
		"SECRET_KEY=" + goodKey, "API_PASSWORD=" + goodKey, "AWS_SECRET_ACCESS_KEY=" + goodKey,
		"DATABASE_URL=postgresql+psycopg2://petal:" + goodKey + "@host:5432/accounts?password=" + goodKey,
	})
	require.NoError(t, err)
	var log bytes.Buffer
	settings.Logger(&log, settings.LogAuto, slog.LevelInfo).Info("settings", "all", api, "key", api.SecretKey, "database", api.Database)
	asJSON, err := json.Marshal(api.SecretKey)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", api, api, api, api.SecretKey), log.String(), string(asJSON)} {
		require.NotContains(t, text, goodKey)
	}
	require.Equal(t, "postgres://petal:"+goodKey+"@host:5432/accounts?password="+goodKey, api.Database.Source)
}

func TestParseDatabase(t *testing.T) {
	tests := []struct {
		raw  string
		want settings.Database
	}{
		{"sqlite:///users.db", settings.Database{Driver: "sqlite", Source: "users.db"}},
		{"sqlite:///./users.db", settings.Database{Driver: "sqlite", Source: "./users.db"}},
		{"sqlite:////var/lib/petal/users.db", settings.Database{Driver: "sqlite", Source: "/var/lib/petal/users.db"}},
		{"sqlite+pysqlite:///users.db", settings.Database{Driver: "sqlite", Source: "users.db"}},
		{"postgresql://u:p@h:5432/n", settings.Database{Driver: "postgres", Source: "postgres://u:p@h:5432/n"}},
		{"postgresql+psycopg2://u:p%40@h/n?sslmode=require", settings.Database{Driver: "postgres", Source: "postgres://u:p%40@h/n?sslmode=require"}},
		{"postgres://h/n", settings.Database{Driver: "postgres", Source: "postgres://h/n"}},
		{"postgresql:///n", settings.Database{Driver: "postgres", Source: "postgres:///n"}},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			got, err := settings.ParseDatabase(tt.raw)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestReadMLflow(t *testing.T) {
	messages := golden.New(t)
	tests := []struct {
		name    string
		content string
		want    settings.MLflow
		fault   bool
	}{
		{"both", "artifact_location: s3://bucket/x\nexperiment_name: wine\n", settings.MLflow{"s3://bucket/x", "wine"}, false},
		{"one", "experiment_name: wine\n", settings.MLflow{"./mlruns", "wine"}, false},
		{"empty", "\n", settings.MLflow{"./mlruns", "iris_classification"}, false},
		{"comment alone", "# nothing\n", settings.MLflow{"./mlruns", "iris_classification"}, false},
		{"unknown key", "experiment: wine\n", settings.MLflow{}, true},
		{"twice the same key", "experiment_name: a\nexperiment_name: b\n", settings.MLflow{}, true},
		{"two documents", "experiment_name: a\n---\nexperiment_name: b\n", settings.MLflow{}, true},
		{"a list", "- a\n", settings.MLflow{}, true},
		{"no YAML", "a: [\n", settings.MLflow{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "mlflow.yaml"), tt.content)
			got, err := settings.ReadMLflow(dir)
			if tt.fault {
				var fault settings.Fault
				require.ErrorAs(t, err, &fault)
				require.Equal(t, filepath.Join(dir, "mlflow.yaml"), fault.Variable)
				require.NotEmpty(t, fault.Remedy)
				require.NotContains(t, err.Error(), "\n")
				messages.Add(tt.name, within(dir, err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestProxies(t *testing.T) {
	api, err := settings.Load[settings.API](t.TempDir(), []string{"TRUSTED_PROXIES=10.1.2.3/8, 192.0.2.7 ,::1"})
	require.NoError(t, err)
	require.Equal(t, settings.Proxies{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("::1/128"),
	}, api.TrustedProxies)
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := settings.Logger(&out, settings.LogAuto, slog.LevelWarn)
	log.Info("hidden")
	log.Warn("shown")
	require.True(t, json.Valid(out.Bytes()), "JSON where there is no terminal: %s", out.String())
	require.NotContains(t, out.String(), "hidden")

	out.Reset()
	settings.Logger(&out, settings.LogText, slog.LevelInfo).Info("shown")
	require.Contains(t, out.String(), "msg=shown")
}

// What a registry says is logged, and read on a terminal.
func TestLogsCommandNoTerminal(t *testing.T) {
	hostile := "\x1b]0;owned\a \u202e \u009b2J \U000e0001 95\u202f% é"
	for _, format := range []settings.LogFormat{settings.LogText, settings.LogJSON} {
		var out strings.Builder
		settings.Logger(&out, format, slog.LevelInfo).Info("refused", "error", errors.New(hostile))
		for _, hidden := range []string{"\x1b", "\a", "\u202e", "\u009b", "\U000e0001"} {
			assert.NotContains(t, out.String(), hidden, format)
		}
		assert.Contains(t, out.String(), "é")
		if format == settings.LogJSON {
			var line struct{ Error string }
			require.NoError(t, json.Unmarshal([]byte(out.String()), &line))
			assert.Equal(t, hostile, line.Error)
		}
	}
	assert.Equal(t, `a\x1b[2J\u202e\ufffd\tb é`, settings.Printable("a\x1b[2J\u202e\xff\tb é"))
}

func TestStateDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "var")
	require.NoError(t, settings.State{StateDir: dir}.MakeStateDir())
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, settings.State{StateDir: dir}.MakeStateDir())
	info, err = os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm(), "closed to other writers")

	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	_, err = settings.Load[settings.Trainer](t.TempDir(), []string{"STATE_DIR=" + file})
	requireFault(t, err, "STATE_DIR")
	golden.New(t).Add("a file in its place", within(filepath.Dir(file), err))
}

// TestExample holds .env.example to the code: the same variables, and where it
// writes a value, the default.
func TestExample(t *testing.T) {
	path := filepath.Join("..", "..", ".env.example")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assigned, err := godotenv.UnmarshalBytes(content)
	require.NoError(t, err)
	commented := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# ([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(content), -1) {
		commented[m[1]] = m[2]
	}
	require.Contains(t, commented, "MLFLOW_TRACKING_URI", "Compose supplies its own")
	require.Contains(t, assigned, "SECRET_KEY")
	require.Empty(t, assigned["SECRET_KEY"])

	defaults := map[string]string{}
	collect(t, reflect.TypeFor[settings.API](), defaults)
	collect(t, reflect.TypeFor[settings.Trainer](), defaults)
	for name, value := range defaults {
		_, isAssigned := assigned[name]
		_, isCommented := commented[name]
		assert.True(t, isAssigned || isCommented, "%s is missing in .env.example: write a comment of one line and %s=%s", name, name, value)
		assert.False(t, isAssigned && isCommented, "%s is twice in .env.example", name)
	}
	for _, values := range []map[string]string{assigned, commented} {
		for name := range values {
			_, known := defaults[name]
			assert.True(t, known, "%s is in .env.example and is no setting", name)
		}
	}
	require.False(t, t.Failed())

	delete(commented, "MLFLOW_TRACKING_URI") // an example, not a default
	environ := []string{}
	for _, values := range []map[string]string{assigned, commented} {
		for name, value := range values {
			require.Equal(t, defaults[name] == "", value == "", "%s=%s, where the default is %q", name, value, defaults[name])
			environ = append(environ, name+"="+value)
		}
	}
	want, err := settings.Load[settings.API](t.TempDir(), nil)
	require.NoError(t, err)
	got, err := settings.Load[settings.API](t.TempDir(), environ)
	require.NoError(t, err)
	require.Equal(t, want, got)
	wantTrainer, err := settings.Load[settings.Trainer](t.TempDir(), nil)
	require.NoError(t, err)
	gotTrainer, err := settings.Load[settings.Trainer](t.TempDir(), environ)
	require.NoError(t, err)
	require.Equal(t, wantTrainer, gotTrainer)
}

// collect finds the variables of a struct and their defaults, and requires that
// no two fields share a name: faults are traced by it.
func collect(t *testing.T, typ reflect.Type, into map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("env")
			if name == "" {
				if f.Type.Kind() == reflect.Struct {
					walk(f.Type)
				}
				continue
			}
			require.False(t, seen[f.Name], "two fields are named %s", f.Name)
			seen[f.Name] = true
			into[name] = f.Tag.Get("envDefault")
		}
	}
	walk(typ)
	require.Greater(t, len(seen), 8)
}

func TestGeneratedCredentialsAreAccepted(t *testing.T) {
	_, err := settings.Load[settings.API](t.TempDir(), []string{
		"SECRET_KEY=" + credential.NewKey(), "API_PASSWORD=" + credential.NewPassword(),
	})
	require.NoError(t, err)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// Replicas that share a database and no key would refuse each other's tokens.
func TestPostgreSQLNeedsASecretKey(t *testing.T) {
	const database = "DATABASE_URL=postgresql://host/accounts"
	for name, c := range map[string]struct {
		environ []string
		refused bool
	}{
		"no key":  {[]string{database}, true},
		"SQLite":  {nil, false},
		"a key":   {[]string{database, "SECRET_KEY=" + goodKey}, false},
		"another": {[]string{database, "SECRET_KEY_PREVIOUS=" + goodKey}, true},
		"EdDSA":   {[]string{database, "TOKEN_SIGNING_ALG=EdDSA"}, false}, // the replicas share its file
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := settings.Load[settings.API](t.TempDir(), c.environ)
			require.NoError(t, err, "commands need no key")
			err = cfg.CheckServe()
			if !c.refused {
				require.NoError(t, err)
				return
			}
			var fault settings.Fault
			require.ErrorAs(t, err, &fault)
			require.Equal(t, "SECRET_KEY", fault.Variable)
			golden.New(t).Add("refused", err)
		})
	}
}
