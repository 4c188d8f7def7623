package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ctlChecks run etcdctl. What it prints is compared as it is, besides what is masked.
var ctlChecks = []check{
	{name: "etcdctl/keys", loose: true, run: func(t *T) {
		k := t.k
		t.ctl("put", k("a"), "1")
		t.ctl("put", k("a"), "2", "--prev-kv")
		t.ctl("put", k("b"), "x y")
		t.ctlWith("from stdin", "put", k("c"))
		t.ctl("put", k("a"), "--ignore-value", "--prev-kv")
		t.ctl("put", k("none"), "--ignore-value")
		t.ctl("put", k("a"), "1", "--lease=7b")
		t.ctl("get", k("a"))
		t.ctl("get", k("none"))
		t.ctl("get", k(""), "--prefix")
		t.ctl("get", k(""), "--prefix", "--keys-only")
		t.ctl("get", k(""), "--prefix", "--count-only", "-w", "fields")
		t.ctl("get", k(""), "--prefix", "--print-value-only", "--limit=2", "--order=DESCEND", "--sort-by=KEY")
		t.ctl("get", k("a"), k("c"))
		t.ctl("get", k("a"), "-w", "json")
		t.ctl("get", k(""), "--prefix", "-w", "json", "--consistency=s")
		t.ctl("get", k("a"), "-w", "fields")
		t.ctl("get", k("a"), "--rev=1")
		t.ctl("get", k("a"), "--rev=1000000")
		t.ctl("get", "")
		t.ctl("get", k(""), "--prefix", "--stream")
		t.ctl("del", k("b"), "--prev-kv")
		t.ctl("del", k("b"))
		t.ctl("del", k(""), "--prefix", "-w", "json")
	}},
	{name: "etcdctl/txn", loose: true, run: func(t *T) {
		k := t.k
		t.ctl("put", k("a"), "1")
		t.ctlWith(fmt.Sprintf("value(%q) = \"1\"\n\nput %s 2\nget %s\n\nget %s\n\n", k("a"), k("a"), k("a"), k("a")), "txn")
		t.ctlWith(fmt.Sprintf("value(%q) = \"1\"\n\nput %s 2\n\nget %s\ndel %s\n\n", k("a"), k("a"), k("a"), k("a")), "txn")
		t.ctlWith(fmt.Sprintf("mod(%q) > \"0\"\nver(%q) < \"5\"\n\nget %s\n\n\n", k("a"), k("a"), k("a")), "txn", "-w", "json")
		t.ctlWith(fmt.Sprintf("create(%q) = \"0\"\n\nput %s 1\nput %s 2\n\n\n", k("b"), k("b"), k("b")), "txn")
	}},
	{name: "etcdctl/lease", loose: true, run: func(t *T) {
		out := t.ctl("lease", "grant", "60")
		fields := strings.Fields(out)
		if len(fields) < 2 {
			return
		}
		id := fields[1]
		t.ctl("put", t.k("a"), "1", "--lease="+id)
		t.ctl("lease", "timetolive", id)
		t.ctl("lease", "timetolive", id, "--keys")
		t.ctl("lease", "timetolive", id, "--keys", "-w", "json")
		t.ctl("lease", "keep-alive", id, "--once")
		t.ctl("lease", "revoke", id)
		t.ctl("lease", "revoke", id)
		t.ctl("lease", "timetolive", id)
		t.ctl("lease", "keep-alive", id, "--once")
		t.ctl("get", t.k("a"))
	}},
	{name: "etcdctl/watch", loose: true, run: func(t *T) {
		const last = "the last one"
		first := t.put("a", "1")
		t.put("a", "2")
		t.sendTo(0, mustDelete(t.b("a")))
		t.put("a", last)
		t.settle()
		w := t.ctlStart("watch", "watch", t.k("a"), fmt.Sprint("--rev=", first), "--prev-kv")
		t.say("watch", "%s", strings.Join(w.until(last), " | "))
		w.stop()
		w = t.ctlStart("watch as json", "watch", t.k("a"), fmt.Sprint("--rev=", first), "-w", "json")
		t.say("watch as json", "%s", t.masks.text(strings.Join(w.until(b64(last)), " | ")))
		w.stop()
	}},
	{name: "etcdctl/lock", loose: true, run: func(t *T) {
		t.ctl("lock", t.k("l"), "--", "echo", "held")
		t.ctl("lock", t.k("l"), "--", "sh", "-c", "exit 7")
		const me = "who asks to lead"
		elect := t.ctlStart("elect", "elect", t.k("e"), me)
		t.say("elect", "%q", elect.until(me)[1:])
		look := t.ctlStart("elect -l", "elect", "-l", t.k("e"))
		t.say("elect -l", "%q", look.until(me)[1:])
		look.stop()
		elect.stop()
	}},
	{name: "etcdctl/endpoint", loose: true, run: func(t *T) {
		t.ctl("endpoint", "health")
		t.ctl("endpoint", "health", "-w", "json")
		t.ctl("endpoint", "hashkv", "-w", "fields")
		hashes, _, _ := t.ctlQuiet("", "endpoint", "hashkv", "-w", "json")
		t.say("hashes are equal", "%t", equalHashes(hashes))
		out, _, _ := t.ctlQuiet("", "endpoint", "status", "-w", "json")
		t.say("status", "%s", keysOfJSON(out))
		t.ctl("version")
	}},
	{name: "etcdctl/member", loose: true, run: func(t *T) {
		list, _, _ := t.ctlQuiet("", "member", "list", "-w", "simple")
		lines := strings.Split(list, "\n")
		slices.SortFunc(lines, func(a, b string) int { return strings.Compare(t.masks.text(a), t.masks.text(b)) })
		t.say("member list", "%s", t.masks.text(strings.Join(lines, " | ")))
		list, _, _ = t.ctlQuiet("", "member", "list", "-w", "json")
		t.say("member list as json", "%s", keysOfJSON(list))
		t.ctl("alarm", "list")
		t.ctl("alarm", "disarm")
		t.ctl("defrag")
		t.ctl("compaction", "1")
		t.ctl("compaction", "100000")
		for _, how := range []string{"--physical=false", "--physical"} {
			rev := fmt.Sprint(t.put("a", "1"))
			out, errs, code := t.ctlQuiet("", "compaction", rev, how)
			t.say("compaction "+how, "%s %s %s", code, strings.ReplaceAll(out, rev, "REV"), onlyErrors(errs))
		}
		t.ctl("move-leader", "abcdef")
	}},
	{name: "etcdctl/snapshot", loose: true, run: func(t *T) {
		t.put("a", "1")
		path := filepath.Join(t.cluster.dir, "snapshot.db")
		t.ctl("snapshot", "save", path, "--endpoints="+t.cluster.endpoints()[0])
		info, err := os.Stat(path)
		t.say("saved", "%t", err == nil && info.Size() > 512 && info.Size()%512 == 32)
	}},
	{name: "etcdctl/make-mirror", loose: true, run: func(t *T) {
		t.put("from/a", "1")
		t.put("from/b", "2")
		to := t.cluster.endpoints()[0]
		t.ctlStart("make-mirror", "make-mirror", to, "--prefix="+t.k("from/"), "--dest-prefix="+t.k("to/"))
		t.await("what was there is mirrored", func() bool { return t.count("to/") == 2 })
		t.put("from/c", "3")
		t.await("what comes is mirrored", func() bool { return t.count("to/") == 3 })
		t.ctl("get", t.k("to/"), "--prefix")
	}},
	{name: "etcdctl/wrong", loose: true, run: func(t *T) {
		t.ctl("get")
		t.ctl("nonsense")
		t.ctl("put", "")
		t.ctl("del", "")
		t.ctl("get", t.k("a"), "--endpoints=127.0.0.1:1", "--dial-timeout=200ms", "--command-timeout=300ms")
	}},
}

// equalHashes tells whether all members have the same hash of keys.
func equalHashes(out string) bool {
	var all []struct {
		HashKV struct {
			Hash uint32 `json:"hash"`
		}
	}
	if json.Unmarshal([]byte(out), &all) != nil || len(all) != members {
		return false
	}
	return all[0].HashKV.Hash != 0 && all[0].HashKV.Hash == all[1].HashKV.Hash && all[1].HashKV.Hash == all[2].HashKV.Hash
}

// keysOfJSON are the keys of a document and all below.
func keysOfJSON(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err.Error()
	}
	set := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(path+"."+k, inner)
			}
		case []any:
			for _, inner := range v {
				walk(path+"[]", inner)
			}
		default:
			set[path] = true
		}
	}
	walk("", v)
	return strings.Join(sortedKeys(set), " ")
}
