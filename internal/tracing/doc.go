// Package tracing tells where the time of requests went.
//
//	face ──► Request: when it came, and      ──► Recorder ──┬─► the log, if it was slow
//	         Phases: rsm.Stages of its entry                └─► spans of OpenTelemetry, if it is sampled
//
// Nothing is collected while a request is on its way. A face keeps the time when it came, and which
// entry of the log it became. When it has ended and was slow, or is sampled, the face asks the replica
// when that entry came how far (rsm.Node.Stages), and makes a Request of it. So the core packages know
// nothing of spans, and requests of which none are made pay a comparison.
//
// Package otlp sends the spans.
package tracing
