// Package metrics are the figures by which operators see what a member of a cluster is doing, in the
// text format of Prometheus.
//
// Most figures are read at each scrape, so that they cost nothing in between: the member
// returns a Sample (sample.go). Events are counted as they happen: syncs of the log
// (syncs.go), and requests (requests.go).
//
// The package imports neither the log nor the store nor the transport. internal/server fills
// in the figures.
package metrics
