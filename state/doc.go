// Package state is the one replicated machine of the service, composed of small ones: keys
// (package kv), leases and sessions (package state/lease), and users and roles (package
// state/auth). A command names its user, and each replica decides whether that user may do it.
package state
