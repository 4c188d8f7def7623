// Package tracing tells where the time of requests went.
//
//	face ──► Request: when it came, and      ──► Recorder ──► the log, if it was slow
//	         Phases: rsm.Stages of its entry
//
// Nothing is collected while a request is on its way. A face keeps the time when it came, and which
// entry of the log it became. When it has ended and was slow, the face asks the replica when that entry
// came how far (rsm.Node.Stages), and makes a Request of it.
package tracing
