// Package machine tells what the operating system lets this process have, and what the process has had.
//
//	memory.go         MemoryLimit: GOMEMLIMIT, the control groups, the machine
//	processor_*.go    ProcessorTime: what all threads of the process have used
package machine
