package clerk

// What the tests of the network part need to know of it.
const (
	MaxBatchBytes = maxBatchBytes
	CallOverhead  = callOverhead
	MaxQueueCalls = maxQueueCalls
)

// Links returns how many links there are, and how many watch links.
func Links(c *Clerk) (links, watches int) {
	n := c.caller.(*network)
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.links), len(n.watches)
}

// Renewals returns how many keep-alives wait, and how many requests for some are under way.
func Renewals(c *Clerk) int {
	c.renewals.mu.Lock()
	defer c.renewals.mu.Unlock()
	return len(c.renewals.waiting) + c.renewals.running
}
