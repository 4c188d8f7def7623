// Package server puts one member of a balsa cluster together: sockets, data directory,
// replica, and the port that clients talk to.
//
//	clients ══► clients.Port ──► native.Server ──► replica.Replica ──► wal.Log
//	                                                     │
//	                                                     └──► transport ══► other members
//	operators ══► frontend/http: figures, health, profiles
//
// The life of a Server (server.go) has three parts:
//
//  1. Start opens the sockets, then the data directory (package datadir). What is wrong with
//     either is found before anything on disk has changed.
//  2. With a new data directory it waits for its cluster to begin, which takes all
//     members (package member). Meanwhile requests get UNAVAILABLE.
//  3. The replica runs, until Shutdown (shutdown.go) or until its disk fails.
package server
