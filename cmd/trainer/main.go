// Command trainer trains models and decides which one is served. See its --help.
package main

import (
	"os"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/app/trainer"
)

func main() { os.Exit(process.Main(trainer.Run)) }
