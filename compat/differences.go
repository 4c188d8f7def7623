package main

// explained are differences that are meant: what etcd's documents leave open, and mistakes of etcd
// that are not repeated. They are by check and by step; an empty step stands for all.
var explained = map[string]map[string]string{
	"maintenance/hashes": {
		"call 9": "the hash of the compacted revision is made anew; etcd has kept the one from before its compaction",
	},
	"txn/duplicates": {
		"": "a put and a delete of all keys from there on overlap, which the definition of Txn does not allow; etcd does not see it (its issue 22395)",
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
