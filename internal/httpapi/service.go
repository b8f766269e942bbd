package httpapi

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
)

// service answers what is asked of the server itself. All of it is open to
// everybody.
type service struct {
	cfg   Config
	index indexAnswer
}

func (s *service) routes() []route.Route {
	open := func(path, id, summary string, handle route.Handler, types ...route.MediaType) route.Route {
		return route.Route{
			Method: http.MethodGet, Path: path, Handle: handle, ID: id, Tag: route.TagService, Summary: summary,
			Replies: route.OK(summary+".", types...),
		}
	}
	keys := open("/.well-known/jwks.json", "keySet", "The public keys of tokens (RFC 7517)", s.keySet,
		route.MediaType{Name: "application/jwk-set+json", Schema: route.AnyObject})
	keys.Tag, keys.Replies[0].Description = route.TagAccess, "A JSON Web Key Set; empty where tokens are signed with a secret."
	ready := open("/ready", "ready", "Whether a model is loaded", s.ready, route.JSONOf[readyAnswer](nil)...)
	ready.NeedsModel, ready.MayFail = true, true
	scrape := promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelError)})
	return []route.Route{
		keys,
		open("/", "index", "What there is", s.writeIndex, route.JSONOf[indexAnswer](nil)...),
		open("/health", "health", "Whether the process is alive", health, route.JSONOf[healthAnswer](nil)...),
		ready,
		open("/metrics", "metrics", "Metrics for Prometheus", func(w http.ResponseWriter, r *http.Request) error {
			scrape.ServeHTTP(w, r)
			return nil
		}, route.MediaType{Name: "text/plain", Schema: route.Text}),
	}
}

// keySet gives the public keys. A minute is soon enough to see a rotation: the key
// before it is listed for a day.
func (s *service) keySet(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=60")
	web.WriteBody(w, "application/jwk-set+json", s.cfg.KeySet())
	return nil
}

// indexAnswer is the answer of GET /.
type indexAnswer struct {
	Name      string          `json:"name"`
	Endpoints []indexEndpoint `json:"endpoints" nullable:"false"`
}

type indexEndpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does"`
}

// list makes the answer of GET /.
func (s *service) list(dialects []route.Dialect) {
	s.index.Name = "petal"
	for _, d := range dialects {
		for _, r := range d.Routes {
			if !r.Hidden {
				s.index.Endpoints = append(s.index.Endpoints, indexEndpoint{r.Method, r.Path, r.Summary})
			}
		}
	}
}

func (s *service) writeIndex(w http.ResponseWriter, r *http.Request) error {
	index := s.index
	index.Endpoints = slices.Clone(index.Endpoints)
	for i := range index.Endpoints {
		index.Endpoints[i].Path = web.InfoOf(r).Prefix + index.Endpoints[i].Path
	}
	web.WriteJSON(w, http.StatusOK, index)
	return nil
}

type healthAnswer struct {
	Status string `json:"status" enum:"ok"`
}

// health is GET /health: the process answers.
func health(w http.ResponseWriter, _ *http.Request) error {
	web.WriteJSON(w, http.StatusOK, healthAnswer{"ok"})
	return nil
}

type readyAnswer struct {
	Status string         `json:"status" enum:"ready"`
	Model  route.ModelRef `json:"model"`
}

// ready is GET /ready: a model serves. It does not ask the registry.
func (s *service) ready(w http.ResponseWriter, _ *http.Request) error {
	model, err := s.cfg.Predict.Ready()
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, readyAnswer{"ready", route.ModelRef{Name: model.Info().Name, Version: model.Info().Version}})
	return nil
}
