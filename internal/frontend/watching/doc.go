// Package watching is what the streams of watchers of all faces have in common.
//
//	client ──► Receive ──► Watch, Cancel ──► hub
//	client ◄── tell ◄───── SendAll ◄──────── hub
//
// One goroutine receives requests and hands them to the hub, another sends what the hub hands out.
// Neither waits for the other: while the client does not read, events stay in the hub, which counts
// their bytes. Watchers, and the bytes that are being sent, count in the Bounds of the client.
package watching
