package main

// explained are differences that are meant: what etcd's documents leave open, and mistakes of etcd
// that are not repeated. They are by check and by step; an empty step stands for all.
var explained = map[string]map[string]string{
	"kv/put-large": {
		"call 4": "a message that is over the limit is refused in the words for a request that is",
		"call 5": "a message that is over the limit is refused in the words for a request that is",
	},
	"kv/range-stream": {
		"call 31": "how many keys a part has is left open",
	},
	"maintenance/hashes": {
		"call 9": "the hash of the compacted revision is made anew; etcd has kept the one from before its compaction",
	},
	"auth/rights": {
		`txn as ""`: "a transaction of nothing, by nobody, is refused as every other one of nobody",
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
var missing = map[string]string{}

// isExplained tells whether a step of a check may differ.
func isExplained(check, step string) bool {
	of := explained[check]
	return of[step] != "" || of[""] != ""
}
