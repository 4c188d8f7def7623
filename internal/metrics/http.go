package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"balsa.example/internal/fair"
	"balsa.example/internal/ratelog"
)

const (
	// readTimeout and writeTimeout bound one request and its answer; a profile may take
	// longer by the duration that it was asked for. idleTimeout is how long a connection is
	// kept for the next request.
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	// maxScrapes bounds the scrapes in progress; more get 503.
	maxScrapes = 4
	// quietConnection is how long a connection must have been idle before it is closed for a
	// new one from the same address.
	quietConnection = 5 * time.Second
	// surplusPeriod is the least time between two lines of the log about surplus connections.
	surplusPeriod = 10 * time.Second
	// maxRequestHeader is in bytes.
	maxRequestHeader = 16 << 10
)

// Config says what to serve. Sample, Health and Logger are required. Sample and Health are
// called from many goroutines.
type Config struct {
	Sample func() Sample
	// Health returns nil if the member can serve, else why not.
	Health func() error
	// Collectors are served in addition to the Sample.
	Collectors []prometheus.Collector
	Pprof      bool
	Logger     *slog.Logger
	// Connections is how many there may be at once. Default: 32.
	Connections int
}

// Handler serves the paths that the package's documentation names.
func Handler(cfg Config) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(sampler(cfg.Sample))
	registry.MustRegister(cfg.Collectors...)

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: cfg.errorLog(), MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, cfg.Health()) })
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index) // and the profiles that have names
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// writeHealth answers as etcd does, so that probes made for it work.
func writeHealth(w http.ResponseWriter, why error) {
	answer := struct {
		Health string `json:"health"`
		Reason string `json:"reason,omitempty"`
	}{Health: "true"}
	code := http.StatusOK
	if why != nil {
		answer.Health, answer.Reason = "false", why.Error()
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(answer)
}

// errorLog is for packages that do not use slog.
func (c Config) errorLog() *log.Logger { return slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn) }

// Server serves a Handler.
type Server struct {
	http   *http.Server
	slots  *fair.Slots        // of connections
	cancel context.CancelFunc // of all requests
	// serving are the goroutines that accept connections, connections those that answer.
	// The latter are started only by the former.
	serving, connections sync.WaitGroup
}

// Serve answers on all listeners until Close, which closes them too.
func Serve(cfg Config, listeners ...net.Listener) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cancel: cancel, slots: fair.NewSlots(cmp.Or(cfg.Connections, 32), quietConnection)}
	sample := cfg.Sample
	cfg.Sample = func() Sample {
		all, mine := sample(), s.slots.Stats()
		all.Surplus = append(all.Surplus, Surplus{Of: "metrics", Count: mine.Refused + mine.Evicted})
		return all
	}
	surplus := ratelog.New(cfg.Logger, 1, surplusPeriod)
	s.slots.OnSurplus = func(newcomer string) {
		surplus.Warn("too many connections for metrics: one was closed", "newcomer", newcomer)
	}
	s.http = &http.Server{
		Handler:        Handler(cfg),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxRequestHeader,
		ErrorLog:       cfg.errorLog(),
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnState:      s.connState,
	}
	for _, l := range listeners {
		s.serving.Go(func() {
			if err := s.http.Serve(&fair.Listener{Listener: l, Slots: s.slots}); !errors.Is(err, http.ErrServerClosed) {
				// The member goes on, since its clients can do without metrics.
				cfg.Logger.Error("metrics are not served any more", "address", l.Addr(), "error", err)
			}
		})
	}
	return s
}

func (s *Server) connState(conn net.Conn, state http.ConnState) {
	conn.(*fair.Conn).Slot().Used()
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateClosed:
		s.connections.Done()
	}
}

// Close closes all connections, and returns when no goroutine of the Server is left. A scrape
// in progress is cut off.
func (s *Server) Close() {
	s.cancel()
	s.http.Close()
	s.serving.Wait()
	s.http.Close() // those that were accepted meanwhile
	s.connections.Wait()
}
