package dvc_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/petal-ml/petal/internal/dvc"
)

// Pull verifies a file that stands in its place, and fetches one that does not.
func ExampleRepo_Pull() {
	root, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(root) }()
	pointer := filepath.Join(root, "fruit.csv.dvc")
	_ = os.Mkdir(filepath.Join(root, ".dvc"), 0o700)
	_ = os.WriteFile(filepath.Join(root, "fruit.csv"), []byte("hello\n"), 0o600)
	_ = os.WriteFile(pointer, []byte("outs:\n- md5: b1946ac92492d2347c6235b4d2611184\n  size: 6\n  hash: md5\n  path: fruit.csv\n"), 0o600)

	repo, err := dvc.Open(root, dvc.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	pulled, err := repo.Pull(context.Background(), pointer)
	fmt.Println(pulled.Tracked, pulled.Size, pulled.From, err)
	// Output:
	// fruit.csv 6 workspace <nil>
}
