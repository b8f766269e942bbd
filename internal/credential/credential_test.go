package credential_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/credential"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestCheckKeyRefuses(t *testing.T) {
	messages := golden.New(t)
	tests := []struct{ name, key string }{
		{"empty", ""},
		{"31 bytes", "b3Vd9zQ1rKfWm7TnXy5LhGp2JcEaU8s"},
		{"one sign", strings.Repeat("a", 64)},
		{"a repeated word", strings.Repeat("petal", 10)},
		{"repeated, cut short", strings.Repeat("0123456789abcdefXYZ", 3)[:45]},
		{"few signs", "abababbaabbabbaabbabababbbabaabbabab"},
		{"the alphabet", "abcdefghijklmnopqrstuvwxyz0123456789"},
		{"placeholder", "please-CHANGE-me-in-production-0123456"},
		{"another placeholder", "my_very_long_Secret_Key_for_signing_1"},
		// FastAPI's OAuth2 tutorial; the test holds what the code keeps hashed.
		{"published", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := credential.CheckKey([]byte(tt.key))
			require.ErrorIs(t, err, credential.ErrWeakKey)
			messages.Add(tt.name, err)
			if tt.key != "" {
				require.NotContains(t, err.Error(), tt.key)
			}
		})
	}
}

// TestCheckKeyAcceptsRandom holds the entropy bound to the tightest honest key,
// 128 random bits in hexadecimal digits, and to the usual others.
func TestCheckKeyAcceptsRandom(t *testing.T) {
	for range 20_000 {
		random := make([]byte, 32)
		_, _ = rand.Read(random)
		for _, key := range []string{
			hex.EncodeToString(random[:16]), hex.EncodeToString(random), base64.StdEncoding.EncodeToString(random), string(random), credential.NewKey(),
		} {
			require.NoError(t, credential.CheckKey([]byte(key)), "%x", key)
		}
	}
}

func TestCheckPassword(t *testing.T) {
	refused := []string{
		"", "a", "7 signs", "password", "Password1", "P@ssw0rd", "passw0rd!", "12345678", "1234567890", "qwertyuiop", "1qaz2wsx",
		"iloveyou", "sunshine", "football123", "aaaaaaaa", "abcabcabc", "letmein1", "welcome2026", "baseball", "superman", "trustno1",
		"19901231", "11223344", "student1", "petal-iris", "alice2026", "Alice123", "admin123", "changeme", "zaq1xsw2", "princess1",
		strings.Repeat("long enough ", 100), "with\x00zero byte", "not \xff text",
	}
	for _, password := range refused {
		require.ErrorIs(t, credential.CheckPassword(password, "alice"), credential.ErrPassword, "%q", password)
	}
	accepted := []string{
		"kqzvbtwx", "correct horse battery staple", "tulpenzwiebel am fenster", "mY dOg ate 4 shoes", "Gr8ulV!x", "пароль на каждый день",
		"日本語の長いパスワード", strings.Repeat("long phrase ", 5) + "!", "3f9a02b7", "o'Leary & sons 77",
	}
	for _, password := range accepted {
		require.NoError(t, credential.CheckPassword(password, "alice"), "%q", password)
	}
	require.NoError(t, credential.CheckPassword("rosalindfranklin", "alice"))
	err := credential.CheckPassword("rosalind", "rosalind")
	require.ErrorIs(t, err, credential.ErrPassword, "the name of the user")
	require.NotContains(t, err.Error(), "rosalind")

	messages := golden.New(t)
	for name, password := range map[string]string{
		"short": "7 signs", "long": strings.Repeat("long enough ", 100), "not UTF-8": "not \xff text", "common": "password",
	} {
		messages.Add(name, credential.CheckPassword(password, "alice"))
	}
}

func TestCheckUsername(t *testing.T) {
	for _, name := range []string{"student", "a", "Ada.Lovelace@example.org", "svc-7_x", strings.Repeat("a", 64)} {
		require.NoError(t, credential.CheckUsername(name), name)
	}
	for _, name := range []string{"", " ", "-a", ".a", "a b", "a/b", "a\n", "é", "a\x00", strings.Repeat("a", 65)} {
		require.ErrorIs(t, credential.CheckUsername(name), credential.ErrUsername, "%q", name)
	}
	golden.New(t).Add("a user name", credential.CheckUsername("a b"))
}

func TestGenerated(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		password := credential.NewPassword()
		require.Regexp(t, `^([a-z2-9]{4}-){4}[a-z2-9]{4}$`, password)
		require.NoError(t, credential.CheckPassword(password, "student"))
		require.False(t, seen[password])
		seen[password] = true
	}
}

func TestLoadOrCreateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret_key")
	const processes = 32
	var (
		wg      sync.WaitGroup
		secrets [processes]string
		created [processes]bool
	)
	for i := range processes {
		wg.Go(func() {
			var err error
			secrets[i], created[i], err = credential.LoadOrCreate(path, credential.NewKey)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	makers := 0
	for i := range processes {
		require.Equal(t, secrets[0], secrets[i])
		if created[i] {
			makers++
		}
	}
	require.Equal(t, 1, makers)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	_, err := credential.ReadFile(path)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(path, []byte("x y \r\n"), 0o644))
	got, err := credential.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "x y ", got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "closed to others")

	require.ErrorIs(t, credential.CreateFile(path, "other"), os.ErrExist)
	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	_, err = credential.ReadFile(path)
	require.ErrorContains(t, err, path)
	golden.New(t).Add("an empty file", named(err, path))

	_, _, err = credential.LoadOrCreate(filepath.Join(t.TempDir(), "missing", "secret"), credential.NewKey)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// named is an error for the golden file, with FILE in place of a temporary path.
func named(err error, path string) error {
	return errors.New(strings.ReplaceAll(err.Error(), path, "FILE"))
}

// What stands in a secret's place and is no file of few bytes is refused at once.
func TestReadFileRefusesWhatIsNoFile(t *testing.T) {
	messages := golden.New(t)
	for name, put := range map[string]func(string) error{
		"fifo":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"zero":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"sparse": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, put(path))
			done := make(chan error, 1)
			go func() {
				_, _, err := credential.LoadOrCreate(path, credential.NewKey)
				done <- err
			}()
			select {
			case err := <-done:
				require.ErrorIs(t, err, credential.ErrNoFile)
				messages.Add(name, named(err, path))
			case <-time.After(20 * time.Second):
				require.Fail(t, "it does not end")
			}
		})
	}
}

func BenchmarkCheckPassword(b *testing.B) {
	password := strings.Repeat("long phrase ", 85)
	for b.Loop() {
		_ = credential.CheckPassword(password, "alice")
	}
}
