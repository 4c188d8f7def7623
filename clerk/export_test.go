package clerk

// What the tests of the network part need to know of it.
const (
	MaxBatchBytes = maxBatchBytes
	CallOverhead  = callOverhead
	MaxQueueCalls = maxQueueCalls
)
