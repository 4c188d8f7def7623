package main

import (
	"context"
	"log/slog"

	"github.com/spf13/pflag"

	"balsa.example/internal/server"
	"balsa.example/internal/tracing/otlp"
)

// traceFlags say where spans go, and of how many requests.
type traceFlags struct {
	endpoint string
	sample   float64
	flags    *pflag.FlagSet
}

const defaultTraceSample = 0.001

func (t *traceFlags) addFlags(f *pflag.FlagSet) {
	t.flags = f
	f.StringVar(&t.endpoint, "trace-endpoint", "",
		"send spans of requests to a collector of OpenTelemetry, by OTLP over gRPC: http://HOST:4317, or https (default: as $OTEL_EXPORTER_OTLP_ENDPOINT says)")
	f.Float64Var(&t.sample, "trace-sample", defaultTraceSample, "share of the requests of which spans are made, 0 to 1, if the client does not say")
}

// open lets servers send spans, if that is asked for. close ends that, when they have stopped.
func (t *traceFlags) open(ctx context.Context, p *program, cfg *server.Config, log *slog.Logger) (closeTraces func(), err error) {
	if t.sample < 0 || t.sample > 1 {
		return nil, usageError("--trace-sample is %v; it must be from 0 to 1", t.sample)
	}
	if t.endpoint == "" && !otlp.Wanted(p.env) {
		return func() {}, nil
	}
	sample := t.sample
	if share, said := otlp.Sample(p.env); said && !t.flags.Changed("trace-sample") {
		sample = share
	}
	closeTraces, err = openTraces(ctx, cfg, otlp.Config{Endpoint: t.endpoint, Log: log}, sample)
	if err != nil {
		return nil, usageError("--trace-endpoint: %w", err)
	}
	return closeTraces, nil
}

// openTraces lets a server send spans.
func openTraces(ctx context.Context, cfg *server.Config, to otlp.Config, sample float64) (closeTraces func(), err error) {
	to.Name, to.Version = cfg.Name, cfg.Version
	exporter, err := otlp.Open(ctx, to)
	if err != nil {
		return nil, err
	}
	cfg.TracerProvider, cfg.TraceSample = exporter, sample
	return exporter.Close, nil
}
