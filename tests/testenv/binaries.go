package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// Programs are the paths of Petal's two binaries.
type Programs struct{ API, Trainer string }

// buildOnce builds at most once for each test process.
var buildOnce = sync.OnceValues(build)

// Binaries builds cmd/api and cmd/trainer without the race detector, and returns
// copies that belong to the test: a build by another package's tests cannot pull
// them away.
func Binaries(t testing.TB) Programs {
	t.Helper()
	built, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := pyvenv.Lock(built + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	dir := t.TempDir()
	programs := Programs{API: filepath.Join(dir, "api"), Trainer: filepath.Join(dir, "trainer")}
	for _, program := range []string{programs.API, programs.Trainer} {
		if err := linkOrCopy(filepath.Join(built, filepath.Base(program)), program); err != nil {
			t.Fatal(err)
		}
	}
	return programs
}

// build leaves the binaries in a cached folder of this checkout, where go build
// finds those that are still current. They are built as for the images: what go
// build has compiled for one serves for both, in every checkout.
func build() (dir string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := pyvenv.CacheDir()
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(root))
	dir = filepath.Join(cache, "bin-"+hex.EncodeToString(digest[:6]))
	unlock, err := pyvenv.Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("build the binaries: %w", err)
	}
	if err := watchSources(root); err != nil {
		return "", fmt.Errorf("build the binaries: %w", err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "./cmd/api", "./cmd/trainer")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, output)
	}
	return dir, nil
}

// watchSources reads the folders of the sources. Go test notes it, and takes no
// result from its cache when a file in them has changed: the test itself does not
// depend on the packages that the binaries are made of.
func watchSources(root string) error {
	for _, dir := range []string{"cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			return err
		}
	}
	return nil
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}
