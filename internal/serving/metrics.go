package serving

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxClassSeries bounds the classes that are counted one by one; the rest are
// counted together under the class "other".
const maxClassSeries = 100

// metrics are those of the live model and of the watch on the registry.
type metrics struct {
	loaded        prometheus.Gauge
	info          *prometheus.GaugeVec
	trainedAt     prometheus.Gauge
	loadedAt      prometheus.Gauge
	reloads       *prometheus.CounterVec
	reloadFailing prometheus.Gauge
	loadDuration  prometheus.Gauge
	predictions   *prometheus.CounterVec
	confidence    prometheus.Histogram
	registryUp    prometheus.Gauge
	registryOK    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		loaded: gauge("model_loaded", "Whether a model is loaded and serves, 0 or 1."),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "model_info", Help: "The model that serves; always 1.",
		}, []string{"name", "version", "alias", "sha256"}),
		trainedAt: gauge("model_trained_timestamp_seconds", "When the model that serves was trained."),
		loadedAt:  gauge("model_loaded_timestamp_seconds", "When the model that serves was loaded."),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "model_reloads_total", Help: "Attempts to load a version of the model, by result.",
		}, []string{"result"}),
		reloadFailing: gauge("model_reload_failing", "Whether the version that the alias points at cannot be served, 0 or 1."),
		loadDuration:  gauge("model_load_duration_seconds", "How long the last successful load took, download included."),
		predictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "model_predictions_total", Help: "Rows answered, by model version and predicted class (empty for a regressor).",
		}, []string{"version", "class"}),
		confidence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "model_prediction_confidence", Help: "Probability of the predicted class.",
			Buckets:                     []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .99, 1},
			NativeHistogramBucketFactor: 1.1,
		}),
		registryUp: gauge("registry_up", "Whether the last request to the registry was answered, 0 or 1."),
		registryOK: gauge("registry_last_success_timestamp_seconds", "When the registry last answered."),
	}
	for _, c := range []prometheus.Collector{
		m.loaded, m.info, m.trainedAt, m.loadedAt, m.reloads, m.reloadFailing, m.loadDuration,
		m.predictions, m.confidence, m.registryUp, m.registryOK,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	m.reloads.WithLabelValues("success")
	m.reloads.WithLabelValues("failure")
	return m, nil
}

// counters are the series of one model, resolved once.
type counters struct {
	classes    []prometheus.Counter // by class index; shorter than the classes where there are many
	other      prometheus.Counter
	confidence prometheus.Histogram
}

func (m *metrics) counters(live *Live) counters {
	labels, version := live.Labels(), live.info.Version
	if labels.Len() == 0 { // a regressor
		return counters{other: m.predictions.WithLabelValues(version, "")}
	}
	c := counters{confidence: m.confidence}
	for i := range min(labels.Len(), maxClassSeries) {
		c.classes = append(c.classes, m.predictions.WithLabelValues(version, labels.Text(i)))
	}
	if labels.Len() > maxClassSeries {
		c.other = m.predictions.WithLabelValues(version, "other")
	}
	return c
}

// observe counts one answer. A model outside a [Follower] has no counters.
func (c *counters) observe(class int, confidence float32) {
	switch {
	case class < len(c.classes):
		c.classes[class].Inc()
	case c.other != nil:
		c.other.Inc()
	}
	if c.confidence != nil {
		c.confidence.Observe(float64(confidence))
	}
}

// swapped shows the model that serves from now on. The counts of the previous
// version stay for one more scrape or so: until the next swap.
func (m *metrics) swapped(now, before *Live, took time.Duration, retired string) {
	if before != nil {
		i := before.info
		m.info.DeleteLabelValues(i.Name, i.Version, i.Alias, i.SHA256)
	}
	if retired != "" {
		m.predictions.DeletePartialMatch(prometheus.Labels{"version": retired})
	}
	i := now.info
	m.info.WithLabelValues(i.Name, i.Version, i.Alias, i.SHA256).Set(1)
	m.trainedAt.Set(seconds(i.TrainedAt))
	m.loadedAt.Set(seconds(i.LoadedAt))
	m.loadDuration.Set(took.Seconds())
	m.loaded.Set(1)
}

func (m *metrics) registry(up bool) {
	if !up {
		m.registryUp.Set(0)
		return
	}
	m.registryUp.Set(1)
	m.registryOK.Set(seconds(time.Now()))
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
