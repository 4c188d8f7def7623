package metrics

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes bounds the scrapes in progress; more get 503.
const maxScrapes = 4

// Config says what to show. Sample and Logger are required.
type Config struct {
	// Sample is called from many goroutines.
	Sample func() Sample
	// Collectors are shown in addition to the Sample.
	Collectors []prometheus.Collector
	Logger     *slog.Logger
}

// Handler answers scrapes, in the text format of Prometheus.
func Handler(cfg Config) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(sampler(cfg.Sample))
	registry.MustRegister(cfg.Collectors...)
	return promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: maxScrapes,
	}))
}
