// Package state is the one replicated machine of the service, composed of small ones: keys
// (package kv), and leases and sessions.
package state
