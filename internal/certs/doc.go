// Package certs keeps the TLS material of one side of a process: certificate, key and
// trusted authorities, read from files that may be replaced while the process runs.
//
//	files ──► parse ──► good? ──yes──► serves from now on
//	                      └───no────► the last good one serves on, and the log says why
//
// Files are looked at before each handshake and every few seconds. They are taken together
// or not at all, so they may be replaced one by one and in any order. A certificate
// without its key, a file half written, or a certificate that leads to none of the
// authorities changes nothing.
//
// A Source reads the files again and again. A Material is what they held at one moment.
// Where a cluster has no certificates, both are made from a shared secret (secret.go).
package certs
