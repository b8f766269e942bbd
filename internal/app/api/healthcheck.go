package api

import (
	"context"
	"fmt"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/settings"
)

type healthcheckCommand struct{}

// Run asks GET /ready of the API that listens on API_ADDRESS.
func (healthcheckCommand) Run(ctx context.Context, p *Process, cfg settings.API) error {
	if err := process.CheckHealth(ctx, cfg.Address, cfg.TLS(), "/ready"); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.Stdout, "ready")
	return err
}
