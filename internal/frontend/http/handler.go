package http

import (
	"encoding/json"
	"expvar"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
)

// Config says what to answer. Versions and Checks are required.
type Config struct {
	Versions Versions
	Checks   Checks
	Metrics  http.Handler // nil: there is no /metrics
	// Variables are what /debug/vars has besides those of package expvar, which are the process's.
	Variables map[string]func() any
	Pprof     bool
	// Hosts are those by which clients may call this server without TLS; nil or "*": all. Plain
	// tells whether a request came without TLS.
	Hosts []string
	Plain func(*http.Request) bool
	// Others answers all other paths; nil: they are not found.
	Others http.Handler
}

// Versions are those of etcd whose API and behavior clients may count on.
type Versions struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
	Storage string `json:"storage"`
}

// Handler serves the paths that the package's documentation names.
func Handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, serve http.HandlerFunc) { mux.HandleFunc(path, onlyGet(serve)) }
	get("/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, "application/json", http.StatusOK, cfg.Versions)
	})
	get("/health", cfg.Checks.health)
	for kind, checks := range map[string][]check{"livez": cfg.Checks.live(), "readyz": cfg.Checks.ready()} {
		name, checks := "/"+kind, cfg.Checks.told(kind, checks)
		get(name, func(w http.ResponseWriter, r *http.Request) { report(w, r, included(checks, r)) })
		for _, c := range checks {
			get(name+"/"+c.name, func(w http.ResponseWriter, r *http.Request) { report(w, r, []check{c}) })
		}
	}
	if cfg.Metrics != nil {
		mux.Handle("/metrics", cfg.Metrics) // to any method, as etcd does: some probes ask by HEAD
	}
	get("/debug/vars", cfg.variables)
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index) // and the profiles that have names
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	if cfg.Others != nil {
		mux.Handle("/", cfg.Others)
	}
	return onlyHosts(cfg.Hosts, cfg.Plain, mux)
}

// onlyGet refuses requests that ask for more than to read.
func onlyGet(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		serve(w, r)
	}
}

func writeJSON(w http.ResponseWriter, content string, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", content)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}

// variables writes what package expvar knows, and what the server adds.
func (cfg Config) variables(w http.ResponseWriter, _ *http.Request) {
	values := map[string]expvar.Var{}
	expvar.Do(func(v expvar.KeyValue) { values[v.Key] = v.Value })
	for name, value := range cfg.Variables {
		values[name] = expvar.Func(value)
	}
	lines := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, fmt.Sprintf("%q: %s", name, values[name]))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	fmt.Fprintf(w, "{\n%s\n}\n", strings.Join(lines, ",\n"))
}
