// Package rsmtest checks implementations of the interfaces of package rsm, as
// testing/fstest does those of io/fs. Call [TestLog], [TestSnapshots], [TestStorage] (for one
// value that is both) or [TestTransport] from a test of the implementation.
//
// The suites check what the interfaces say. They cannot show two things. One is that a Save is
// durable when it returns: for that the power has to fail, see the tests of wal for a file
// system that loses what was not synced. The other is that nothing goes wrong at any other
// moment: the simulator runs wal under faults at any moment.
package rsmtest
