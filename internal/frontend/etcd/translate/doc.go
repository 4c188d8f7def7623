// Package translate turns requests of the etcd v3 API into commands and reads of the replicated
// machine, and their results into responses. It is pure, so that the server and the simulator run
// the same.
package translate
