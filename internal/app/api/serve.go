package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/settings"
)

// noModelAfter is how long a terminal waits for a model in silence.
const noModelAfter = 2 * time.Second

type serveCommand struct{}

// Run serves until ctx ends.
func (serveCommand) Run(ctx context.Context, p *Process, cfg settings.API) error {
	log := p.Logger(cfg.Log, false)
	p.LimitMemory(log)
	p.CollectLater()
	s, err := Start(ctx, cfg, p.Name, p.Opener(), log)
	if err != nil {
		return err
	}
	if settings.IsTerminal(p.Stdout) {
		go s.guide(ctx, p)
	}
	p.OnHangup(ctx, func() {
		changed, err := process.Settings[settings.API](p)
		if err == nil {
			p.SetLogLevel(changed.Level)
			err = s.Reload(changed)
		}
		if err != nil {
			log.Error("the changed settings cannot be used; those before stay in force", slog.Any("error", err))
		}
	})
	select {
	case <-ctx.Done():
		log.Info("stopping", slog.Any("reason", context.Cause(ctx)))
		if process.IsInterrupted(ctx) {
			s.cfg.DrainMin = 0
		}
	case err = <-s.Failed():
	}
	return errors.Join(err, s.Stop())
}

// guide prints what to do next, once a model serves.
func (s *Server) guide(ctx context.Context, p *Process) {
	select {
	case <-s.follower.Ready():
	case <-ctx.Done():
		return
	case <-time.After(noModelAfter):
		writeWaiting(p.Stdout, s.cfg.ModelName, s.cfg.ModelAlias)
		select {
		case <-s.follower.Ready():
		case <-ctx.Done():
			return
		}
	}
	password, err := s.accounts.InitialPassword(ctx, s.cfg.Username)
	if err != nil && !errors.Is(err, account.ErrNoInitialPassword) {
		s.log.Warn("the initial password cannot be shown", slog.Any("error", err))
	}
	writeGuide(p.Stdout, guide{
		program:  p.Name,
		url:      baseURL(s.Address().String(), s.cfg.TLS()),
		user:     s.cfg.Username,
		password: password,
		model:    s.follower.Current().Info(),
	})
}
