// Command api serves the model that a registry's alias points at.
package main

import (
	"os"

	"github.com/petal-ml/petal/internal/app/api"
	"github.com/petal-ml/petal/internal/app/process"
)

func main() { os.Exit(process.Main(api.Run)) }
