package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/petal-ml/petal/internal/dataset"
)

// A CSV file becomes a matrix and class indices. What is wrong with a file is
// told with its place.
func ExampleRead() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "fruit.csv")

	_ = os.WriteFile(path, []byte("weight,width,fruit\n180,7.5,apple\n120,5.9,plum\n"), 0o600)
	data, err := dataset.Read(context.Background(), path, dataset.Options{Label: "fruit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Features, data.Classes.Strings, data.Y)
	fmt.Println(data.X.At(1, 0))

	_ = os.WriteFile(path, []byte("weight,width,fruit\n180,wide,apple\n"), 0o600)
	_, err = dataset.Read(context.Background(), path, dataset.Options{Label: "fruit"})
	if fault := (*dataset.Error)(nil); errors.As(err, &fault) {
		fmt.Println("line", fault.Line, "column", fault.Column)
	}
	// Output:
	// [weight width] [apple plum] [0 1]
	// 120
	// line 2 column width
}
