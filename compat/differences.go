package main

// explained are differences that are meant: what etcd's documents leave open, and mistakes of etcd
// that are not repeated. They are by check and by step; an empty step stands for all.
var explained = map[string]map[string]string{
	"kv/put-large": {
		"call 4": "a message that is over the limit is refused in the words for a request that is",
		"call 5": "a message that is over the limit is refused in the words for a request that is",
	},
	"txn/compare": {
		"call 77": "a compare of a kind that is not known is refused; etcd takes it for true",
		"call 78": "a compare of a kind that is not known is refused; etcd takes it for true",
	},
	"txn/duplicates": {
		"": "a put and a delete of all keys from there on overlap; etcd does not see it (its issue 22395)",
	},
	"maintenance/reflection": {
		"": "reflection is there; etcd has none",
	},
}

// missing are checks in which balsa's answers are known to be others, and why.
var missing = map[string]string{
	"kv/put-large":            "a key has a limit of its own; in etcd it may be as large as a request",
	"kv/range-sort":           "with a limit and no order of sorting etcd takes the first keys, and sorts those",
	"kv/range-stream":         "the header comes with the first part; in etcd with the last",
	"txn/refused":             "a range at a negative revision is one of now",
	"watch/ids":               "the answer to a cancel has a reason; in etcd it has none",
	"recipe/lock-service":     "the service Lock",
	"recipe/election-service": "the service Election",
	"etcdctl/endpoint":        "the size of the quota, where there is none",
	"etcdctl/snapshot":        "snapshots",
	"maintenance/status":      "the size of the quota, where there is none",
	"maintenance/cluster":     "the members cannot be changed",
	"maintenance/hashes":      "a hash at a negative revision is one of now, and says so",
	"maintenance/alarms":      "alarms cannot be raised by a request",
	"maintenance/defragment":  "the answer has a header; in etcd it has none",
	"maintenance/snapshot":    "snapshots",
	"maintenance/downgrade":   "downgrades",
	"http/metrics":            "figures of etcd's that no dashboard of its own asks for",
	"http/others":             "as above: Lock, Election, the quota, the header of defragment",
	"auth/rights":             "an empty transaction of nobody; members; downgrades",
	"auth/client":             "the text of a watch that is refused",
}

// isExplained tells whether a step of a check may differ.
func isExplained(check, step string) bool {
	of := explained[check]
	return of[step] != "" || of[""] != ""
}
