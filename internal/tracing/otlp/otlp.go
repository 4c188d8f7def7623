// Package otlp sends spans to a collector of OpenTelemetry, by OTLP over gRPC. It stands apart from
// package tracing, so that those who bring a TracerProvider of their own do not link it.
package otlp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"balsa.example/internal/ratelog"
)

// Config says where spans go. Endpoint is a URL, http or https, or empty: then the variables of
// OpenTelemetry say it (OTEL_EXPORTER_OTLP_ENDPOINT and others).
type Config struct {
	Endpoint string
	// Name and Version are those of this server. Service and Instance are how spans name it, in place of
	// "balsa" and its Name.
	Name, Version, Service, Instance string
	Log                              *slog.Logger
}

// Exporter is a trace.TracerProvider whose spans are sent. They wait in a list of bounded length
// (OTEL_BSP_MAX_QUEUE_SIZE, 2048), and those for which there is no room are dropped: no request waits for the
// collector.
type Exporter struct{ *sdktrace.TracerProvider }

// flushTimeout bounds how long the last spans may take.
const flushTimeout = 2 * time.Second

// Open returns an Exporter. It does not wait for the collector.
func Open(ctx context.Context, cfg Config) (*Exporter, error) {
	var options []otlptracegrpc.Option
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("the endpoint is %q; it must be http://HOST:PORT or, with TLS, https://HOST:PORT", cfg.Endpoint)
		}
		options = append(options, otlptracegrpc.WithEndpointURL(cfg.Endpoint))
	}
	to, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("send spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", cmp.Or(cfg.Service, "balsa")), attribute.String("service.instance.id", cmp.Or(cfg.Instance, cfg.Name)), attribute.String("service.version", cfg.Version),
	), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe this server to the collector: %w", err)
	}
	warnings := ratelog.New(cfg.Log, 1, time.Minute)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { warnings.Warn("spans are not sent", "error", err) }))
	return &Exporter{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(to), sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
	)}, nil
}

// Close sends what is left, as far as that is possible within 2 s.
func (e *Exporter) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = e.Shutdown(ctx) // the error handler has it
}

// Wanted tells whether the variables of OpenTelemetry say where spans go.
func Wanted(env func(string) (string, bool)) bool {
	value := func(name string) string { v, _ := env(name); return strings.TrimSpace(v) }
	if strings.EqualFold(value("OTEL_SDK_DISABLED"), "true") || value("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return value("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Sample is the share that the variables of OpenTelemetry say, false if they say none.
func Sample(env func(string) (string, bool)) (share float64, said bool) {
	sampler, _ := env("OTEL_TRACES_SAMPLER")
	switch strings.TrimPrefix(sampler, "parentbased_") {
	case "always_on":
		return 1, true
	case "always_off":
		return 0, true
	case "traceidratio":
		arg, _ := env("OTEL_TRACES_SAMPLER_ARG")
		if share, err := strconv.ParseFloat(arg, 64); err == nil && share >= 0 && share <= 1 {
			return share, true
		}
		return 1, true
	}
	return 0, false
}
