// Package http answers what people and probes ask a server by HTTP, as etcd does:
//
//	/version          the versions of etcd that the server stands for
//	/health           200 while the server can serve, else 503 with the reason, in JSON
//	/livez /readyz    200 or 503; with ?verbose each check and its result
//	/livez/CHECK      one check alone
//	/metrics          figures, in the text format of Prometheus (package metrics)
//	/debug/vars       variables of the process and of the server, in JSON
//	/debug/pprof/*    profiles of the process, where they are enabled
//
// The same paths are served on the client port and on the addresses for metrics. Whoever reaches
// either can read them. They change nothing.
package http
