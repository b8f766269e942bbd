// Package predict answers rows with the model that serves. It is the one service
// below every protocol: who may ask, which model answers, whether there is room
// for the work, the evaluation and the explanation. It knows neither HTTP nor any
// other protocol; its errors are typed, and a protocol puts them into its words.
package predict

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/serving"
)

// Models holds the model that serves.
type Models interface {
	// Current returns nil until a model is loaded.
	Current() *serving.Live
}

// Bearers tells who bears a token or an API key. Its errors are those of package
// access.
type Bearers interface {
	Authenticate(ctx context.Context, bearer string) (access.Principal, error)
}

// Config is what a [Service] is made of. All but MemoryLimit, Started and Stopping
// is required.
type Config struct {
	Models  Models
	Bearers Bearers
	Metrics prometheus.Registerer
	// MemoryLimit is what the process may use, in bytes; 0 where there is no
	// limit.
	MemoryLimit int64
	// Started is closed once it can be told who bears a token; nil where it can.
	Started <-chan struct{}
	// Stopping is closed when the process is about to stop.
	Stopping <-chan struct{}
}

// A Service answers rows. It is safe for concurrent use.
type Service struct {
	models    Models
	bearers   Bearers
	started   <-chan struct{}
	stopping  <-chan struct{}
	admission admission
	budget    *budget
	explains  atomic.Pointer[explainCost]
	denied    *prometheus.CounterVec
	rejected  *prometheus.CounterVec
	unseen    *prometheus.CounterVec
}

// New returns a service.
func New(cfg Config) (*Service, error) {
	s := &Service{
		models: cfg.Models, bearers: cfg.Bearers, started: cfg.Started, stopping: cfg.Stopping, admission: newAdmission(), budget: newBudget(cfg.MemoryLimit),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_denied_total", Help: "Requests that were not let in, by reason.",
		}, []string{"reason"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "model_rejected_inputs_total", Help: "Bodies refused before a prediction, by reason.",
		}, []string{"reason"}),
	}
	s.unseen = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "petal_unseen_category_total", Help: "Values of categories that training did not know, by feature.",
	}, []string{"feature"})
	for _, c := range []prometheus.Collector{s.denied, s.rejected, s.unseen} {
		if err := cfg.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of predictions: %w", err)
		}
	}
	for _, r := range accessReasons {
		s.CountDenied(r)
	}
	for _, r := range reasons {
		s.rejected.WithLabelValues(string(r))
	}
	return s, nil
}

// Current returns the model that serves; the error is [ErrNotReady].
func (s *Service) Current() (*serving.Live, error) {
	if model := s.models.Current(); model != nil {
		return model, nil
	}
	return nil, ErrNotReady
}

// IsStopping says whether the process is about to stop. Requests are answered
// still.
func (s *Service) IsStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Ready says whether requests should be sent here: every protocol's question
// after readiness has this answer. The error is [ErrNotReady], [ErrNoAccounts] or
// [ErrStopping].
func (s *Service) Ready() (*serving.Live, error) {
	if s.IsStopping() {
		return nil, ErrStopping
	}
	if s.started != nil {
		select {
		case <-s.started:
		default:
			return nil, ErrNoAccounts
		}
	}
	return s.Current()
}

// Named is [Service.Current] where that model has the name and, unless it is
// empty, the version; else the error is a [*NotFoundError].
func (s *Service) Named(name, version string) (*serving.Live, error) {
	model, err := s.Current()
	if err != nil {
		return nil, err
	}
	if info := model.Info(); name != info.Name || version != "" && version != info.Version {
		return nil, &NotFoundError{info.Name, info.Version}
	}
	return model, nil
}

// CheckLoad returns [ErrOverloaded] while large work would be refused, so that
// its rows need not be read.
func (s *Service) CheckLoad() error {
	if s.admission.full() {
		return ErrOverloaded
	}
	return nil
}

// PredictRow is [serving.Live.Predict] in its turn: the fast case of one row of
// numbers. A cheap row waits for nobody, and nothing is allocated for it.
func (s *Service) PredictRow(ctx context.Context, live *serving.Live, row []float64, scores []float32) (int, error) {
	if live.RowCost() >= freeWork {
		turn, err := s.admission.enter(ctx, live.RowCost())
		if err != nil {
			return 0, err
		}
		defer turn.end()
	}
	class, err := live.Predict(row, scores)
	if err != nil {
		return 0, inputError(err, 0, false)
	}
	return class, nil
}

// CountDenied counts a request that was not let in.
func (s *Service) CountDenied(r AccessReason) { s.denied.WithLabelValues(string(r)).Inc() }

// CountRejected counts an input that was refused.
func (s *Service) CountRejected(r Reason) { s.rejected.WithLabelValues(string(r)).Inc() }
