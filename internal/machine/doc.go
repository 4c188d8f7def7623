// Package machine tells what the operating system lets this process have, and what the process has had.
//
//	memory.go         MemoryLimit: GOMEMLIMIT, the control groups, the machine; and how garbage is collected in time
//	garbage.go        CollectSeldom: how much garbage there may be before it is collected
//	processor_*.go    ProcessorTime: what all threads of the process have used
//	anew_*.go         StartAnew: how late the threads of a server are woken, and how it gives memory back
//	gently_*.go       Gently: work that others go before
//	descriptors_*.go  DescriptorLimit, OpenDescriptors: of the process
//	filesystem_*.go   FileSystem: the kinds on which data is not safe
package machine
