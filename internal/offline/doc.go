// Package offline is what can be done with a data directory while no server runs on it.
//
//	Check     says what is not in order, and what to do: an executable definition of a valid directory
//	Recover   makes the directory of a new cluster of one, when a quorum is lost for good
//
// Neither changes anything in the directory.
package offline
