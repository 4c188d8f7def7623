//go:build race

package run

// damageStride: every byte is damaged in turn without the race detector, which finds nothing in it and
// makes it ten times slower.
const damageStride = 13
