// Package rsmtest checks implementations of the interfaces of package rsm, as
// testing/fstest does those of io/fs: whoever writes a Storage or a Transport calls
// [TestStorage] or [TestTransport] from a test of their own.
//
// A Storage or a Transport that passes keeps to what the interface says in words. Two things
// no suite can show. That a Save is durable when it returns: for that the power has
// to fail, see wal for a file system that forgets. And that nothing goes wrong at
// any other moment: the simulator of the service runs the log that it ships.
package rsmtest
