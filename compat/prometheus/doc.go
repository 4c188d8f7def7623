// Package prometheus proves the files in ops: that the alerts and the dashboard ask for metrics that servers have,
// and that each alert fires when it should, and not before.
//
//	rules_test.go        the alerts parse, and each has its section in docs/monitoring.md
//	expressions_test.go  every expression has series in a scrape of three servers, etcd's own too
//	alerts_test.go       every alert is provoked
//
// The expressions are evaluated by Prometheus' own engine. Servers run as processes; what takes minutes
// in the world takes moments here, since scrapes get the times that the test says (timeline_test.go).
// What cannot be done to servers in a test, such as a disk that hangs, is done to what they say: the
// series are real, and their values are others.
package prometheus
