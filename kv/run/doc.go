// Package run keeps the history of a store: records of changes, in the order of revisions, in files
// called runs.
//
// A History begins with Open, and grows with Append. What was appended is in memory until Flush
// writes it, while appending goes on; so the caller has a log that holds the same. A Ref says where
// a record is. Read returns it from memory, or with one read of the file. Scan yields all records
// from a revision on. Old records that nobody needs take space until Rewrite writes their runs anew
// without them. Load gives the store its index back at a start, and Files checks runs, and carries
// them from one member to another.
//
//	manifest      a list of Infos; the caller's. What is in no manifest is not there after a start
//	run-7         sealed: full, has a footer, and is never written again
//	run-9         sealed; file 8 was rewritten, and removed
//	run-10        the last one, which each Flush appends to
//	memory        what follows, and the newest of the files
//
// A file begins with a header, goes on with records, and when it is sealed ends with a footer.
// Numbers are little-endian; v is an unsigned varint.
//
//	file      header (64 bytes) | record | record | ... | footer
//	header    magic "balsarun" | format u32 | flags u32 | cluster u64 | first revision u64 |
//	          chain hash before u64 | zeros | hash u64
//	record    hash u64 | length of what follows u32 | flags u8: 1 deleted, 2 last of its revision |
//	          mod v | mod-create v | version v | lease v | wall time v, zigzag | key length v | key | value
//	footer    block | block | ... | steps | trailer (64 bytes)
//	block     hash u64 | length u32 | entry | entry | ...     16 KiB or a little more
//	entry     bytes shared with the key before v | other bytes v | these bytes | flags u8 |
//	          mod-first v | mod-create v | version v | lease v | offset v | size v
//	steps     hash u64 | length u32 | mod-first v, offset v | ...     about every 256 KiB of records
//	trailer   magic "runended" | records u64 | last revision u64 | chain hash after u64 |
//	          offset of the first block u64 | offset of the steps u64 | zeros | hash u64
//
// All hashes are 64-bit xxHash of what follows them, or of what is before in header and trailer. The
// hash of the header is the file's salt. The other hashes are stored XORed with a number that is
// made of the salt and the offset (see place). So a record that is whole, but was written for
// another place or file, is seen. Nothing is believed before its hash was compared.
//
// The hash of a record without that number is a link of the chain hash. It covers deletes, and what
// was compacted keeps its part in it.
//
// A run ends with the revision that brings it to RunBytes. Replicas append the same records, so
// their runs are the same byte by byte until they are rewritten.
package run
