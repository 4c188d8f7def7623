// Package doctor says what is wrong with a cluster, or with a machine, from what was measured of it.
//
//	Facts ──► Diagnose ──► findings: a level, what was seen, why it matters, what to do
//
// Diagnose is a function: it asks nobody, and has no clock of its own. cmd/balsa gathers the facts. A fact
// that is missing makes no finding, or one that says so.
//
//	servers.go       who answers, who leads, how many may fail
//	health.go        alarms, lag, disks, requests that failed
//	compare.go       settings, versions and clocks of the members
//	certificates.go  those that expire, or name others
//	machine.go       the disk, the memory and the limits of the machine that doctor runs on
package doctor
