// Package metrics shows operators what a member of a cluster is doing, over HTTP:
//
//	/metrics        figures, in the text format of Prometheus
//	/health         200 while the member can serve, else 503 with the reason
//	/debug/pprof/*  profiles of the process, if that is wanted
//
// Most figures are read when somebody asks for them, so they cost nothing in between:
// the member gives a Sample (sample.go). Events are counted as they happen: syncs of the
// log (syncs.go), and requests (requests.go).
//
// The package knows neither logs nor stores nor peers. internal/server fills in the figures.
package metrics
