// Package certs holds the TLS material of one side of a process: certificate, key and trusted
// authorities, read from files that may be replaced while the process runs.
//
//	files ──► parse ──► valid? ──yes──► is used from now on
//	                      └────no────► the last valid one is used, and the log says why
//
// Files are read before each handshake and every few seconds. They are accepted together or not
// at all, so that they may be replaced one by one and in any order. A certificate without its
// key, a half-written file, or a certificate that none of the authorities has issued changes
// nothing.
//
// A Source reads the files again and again. A Material is their content at one moment. If a
// cluster has no certificates, both are made from a shared secret (secret.go).
package certs
