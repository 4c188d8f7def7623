package balsa_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// policy says who may import whom and what must be pure. Names are import paths
// below the module's; # begins a comment. A package that no rule names is an error,
// and so is a name without a package, unless it is marked as future.
//
//	a, b < c      c may import a and b, and whatever those may import
//	a !< b        b does not get to a by any way; both directions where both are said
//	pure a: x y   a is pure (see impure); from outside the standard library it may
//	              import x and y alone
//	pure a/*      a declares at least one file of its own pure with a //balsa:pure line
//	allow a: x    a may import x although it is pure; say why
//	deny a: x     a may not import x, or what is below it; say why
//	future a      a may be absent still
//
// Tests are exempt from layers. Tests of pure packages may use goroutines and files,
// but not the clock, nor chance that no seed repeats.
const policy = `
	NONE < raft/quorum, api
	NONE < kv/index < kv/run < kv
	raft/quorum < raft
	raft < rsm, transport, wal
	NONE < internal/wake < rsm, transport, wal, clerk, internal/check/memnet, internal/sink, internal/frontend/native, internal/server
	NONE < internal/ratelog < transport, internal/frontend/clients, internal/server, internal/certs
	NONE < vfs < wal, kv/run, internal/check/crashfs
	NONE < internal/fair < transport, internal/frontend/clients, internal/frontend/access
	kv, api, internal/certs < clerk < clerk/lock < clerk/election
	clerk < clerk/queue
	clerk, internal/check/memnet < internal/check/memclerk # for tests
	internal/frontend/native/nodetest, internal/check/memclerk < clerk/clerktest
	rsm, state, api < internal/frontend/native/translate
	internal/frontend/native/translate, internal/check/naive < internal/frontend/native/nodetest # for tests
	rsm, kv, kv/watch, api < internal/frontend/native/translate < internal/frontend/native/nodetest # for tests
	internal/frontend/native/translate < internal/replica
	NONE < internal/metrics
	NONE < internal/machine < internal/server
	internal/machine < member # whose processors other work gets first
	rsm, internal/metrics, internal/ratelog < internal/tracing < internal/frontend/etcd, internal/frontend/native # where the time of requests went
	internal/tracing < internal/server # of Config.TracerProvider
	internal/ratelog < internal/tracing/otlp < cmd/balsa # what sends spans: those who embed a server bring that themselves
	internal/metrics, internal/certs, kv/watch < internal/frontend/clients # the connections of all faces
	internal/wake < internal/grpcserver < internal/frontend/clients
	internal/wake, kv/watch < internal/frontend/watching < internal/frontend/etcd, internal/frontend/native # the watch streams of all faces
	internal/replica, internal/frontend/clients < internal/frontend/native
	NONE < internal/frontend/http
	internal/frontend/http < internal/server
	internal/metrics < internal/frontend/ui < internal/server # the dashboard, which gets the rest from the server
	internal/backup < internal/server # the dashboard's downloads
	NONE < internal/check/memtcp, internal/check/leak # for tests
	NONE < internal/check/memtcp, internal/check/ports # for tests
	internal/check/ports < internal/check/leak
	NONE < internal/dialing < transport, clerk
	internal/dialing < internal/inproc
	NONE < internal/certs < transport
	NONE < internal/certs/certstest
	rsm, kv < state < internal/check/naive # for tests, and the simulator
	NONE < state/logtime < state/lease < state
	kv < state/auth < state
	kv < kv/watch
	raft < internal/roster < internal/birth
	internal/roster < internal/datadir, member
	internal/birth, rsm, wal < internal/datadir # rsm for its errors
	internal/datadir, transport < member
	rsm, state, kv/watch < internal/frontend/etcd/translate < internal/frontend/etcd < internal/frontend/etcd/overgrpc
	internal/frontend/etcd, internal/frontend/clients < internal/frontend/etcd/gateway
	internal/frontend/clients < internal/frontend/etcd/overgrpc # who calls
	internal/frontend/etcd/gateway, internal/frontend/etcd/overgrpc < internal/server
	internal/frontend/etcd/gateway < internal/server
	NONE < internal/frontend/etcd/v3lockpb, internal/frontend/etcd/v3electionpb < internal/frontend/etcd
	state < internal/frontend/access < internal/frontend/etcd, internal/frontend/native
	state < internal/frontend/access < internal/frontend/etcd, internal/replica
	rsm, state, kv/watch < internal/frontend/etcd/translate < internal/frontend/etcd
	internal/frontend/native, member < internal/server
	internal/server < internal/etcdconfig < cmd/balsa
	state < internal/backup < cmd/balsa
	internal/datadir, state < internal/offline < cmd/balsa
	NONE < internal/etcdfile < internal/frontend/etcd, cmd/balsa
	vfs < internal/frontend/etcd # the space that a snapshot needs
	internal/server, clerk, clerk/lock, clerk/election, api < cmd/balsa
	internal/server, clerk, internal/inproc < embed
	member < . < examples/bank
	clerk, api, raft < internal/doctor < cmd/balsa
	NONE < internal/loadgen, internal/sink, internal/terminal, internal/machine < cmd/balsa
	NONE < internal/rotate < internal/etcdconfig, cmd/balsa
	internal/loadgen, clerk < internal/loadgen/clerkload < cmd/balsa
	clerk, internal/check/naive < internal/check/history < internal/check/torture
	clerk < internal/check/torture

	# What checks implementations of others.
	rsm < rsm/rsmtest

	# The shells of tests: a network in memory, and the simulator.
	raft, rsm < internal/check/memnet
	internal/check/history, kv/watch, internal/frontend/native/translate, internal/frontend/etcd/translate, internal/roster, wal < internal/check/sim < internal/check/sim/cmd

	# The real shell and the simulated one run the same pure code, not each other's.
	internal/server !< internal/check/sim
	internal/check/sim !< internal/server

	# Consensus knows nothing of what it carries.
	rsm, kv !< raft
	kv !< rsm

	pure raft/quorum:
	pure raft:
	pure kv/index: github.com/cespare/xxhash/v2
	pure kv: github.com/cespare/xxhash/v2
	pure kv/watch:
	pure state/logtime:
	pure state/lease: github.com/tidwall/btree github.com/cespare/xxhash/v2
	pure state/auth: github.com/cespare/xxhash/v2
	pure internal/birth:
	pure internal/roster:
	pure kv/run/*
	pure rsm/*
	pure clerk/*
	pure internal/frontend/native/translate/*
	pure internal/frontend/etcd/translate/*

	# A server's goroutines read the store while DoOp runs, and a lock costs less than
	# to publish a copy of the index after every operation.
	allow kv: sync
	# A store's records are in files, which package run reads and writes by way of vfs. It has
	# no goroutine, clock or chance either, so the simulator runs both on a disk of its own.
	allow kv: kv/run

	# The transport under the etcd API can be exchanged.
	deny internal/frontend/etcd: google.golang.org/grpc
	deny internal/frontend/etcd/translate: google.golang.org/grpc

	# Streams are read by goroutines of their own while events are matched.
	allow kv/watch: sync

`

// impure is what a pure package or file may not import, subdirectories included. Of
// math/rand and math/rand/v2 it may use the types and their constructors, which take
// a seed, but not the top-level functions.
var impure = []string{"context", "crypto/rand", "log", "net", "os", "sync", "syscall", "time"}

// unrepeatable is what tests of pure packages may not import.
var unrepeatable = []string{"crypto/rand"}

// clock is what tests of pure packages may not use of package time: its Duration
// counts virtual time as well.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

func TestImportsAndPurityFollowThePolicy(t *testing.T) {
	problems, err := checkPolicy(os.DirFS("."), policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// TestPolicyCanFail breaks each rule once: a check that finds nothing has to be shown
// to look.
func TestPolicyCanFail(t *testing.T) {
	const rules = `
		NONE < a
		a < b
		b < c
		NONE < d # stands apart
		a !< d
		pure a: example.com/fine
		pure b/*
		allow a: sync
	`
	sound := map[string]string{
		"go.mod":            "module example.com/m\n\ngo 1.26\n",
		"a/a.go":            `package a; import ("fmt"; "sync"; "example.com/fine/sub"); var _ = fmt.Sprint`,
		"b/b.go":            `package b; import _ "example.com/m/a"; import _ "time"; func f() { go f() }`,
		"b/core.go":         "//balsa:pure\n\npackage b",
		"c/c.go":            `package c; import (_ "example.com/m/a"; _ "example.com/m/b"; _ "os")`,
		"c/c_test.go":       `package c; import (_ "example.com/m/d"; _ "time")`,
		"d/d.go":            `package d; import "math/rand"; var x = rand.Int()`,
		"a/testdata/x.go":   `package x; import _ "time"`,
		"nested/go.mod":     "module example.com/nested\n",
		"nested/x/x.go":     `package x; import _ "time"`,
		"a/a_seeded.go":     `package a; import "math/rand/v2"; var r *rand.Rand = rand.New(rand.NewPCG(1, 2))`,
		"a/example_test.go": `package a; import _ "os"; func f() { go f() }`,
	}
	tests := []struct {
		name       string
		file, text string // added to or replaced in sound
		rule       string // added to rules
		want       string // part of the one problem; empty if all is well
	}{
		{name: "a sound tree passes"},
		{"an arrow against the policy", "b/x.go", `package b; import _ "example.com/m/c"`, "",
			"b imports c"},
		{"an arrow between strangers", "c/x.go", `package c; import _ "example.com/m/d"`, "",
			"c imports d"},
		{"an arrow hidden behind a build tag", "b/x.go", "//go:build never\n\npackage b\nimport _ \"example.com/m/c\"", "",
			"b imports c"},
		{"a forbidden pair by a detour", "", "", "a < e\n e < d\n future e\n",
			"d may come to import a"},
		{"a package without a rule", "e/e.go", "package e", "",
			"e is in no rule"},
		{"a rule without a package", "", "", "NONE < e\n",
			"e is named in the policy, but there is no such package"},
		{"a future that has come", "", "", "future a\n", ""},
		{"a future that has not", "", "", "b < e\nfuture e\n", ""},
		{"an exception that nobody needs", "", "", "allow a: time\n",
			"a may import time, and does not"},
		{"a module that nobody needs", "a/a.go", `package a; import _ "sync"`, "",
			"a may import example.com/fine, and does not"},
		{"what is denied", "", "", "deny c: os\n",
			"c/c.go: c imports os"},
		{"what is denied, in a test", "c/c_test.go", `package c; import _ "net/http"`, "deny c: net\n", ""},
		{"a clock in a pure package", "a/x.go", `package a; import _ "time"`, "",
			"a/x.go: pure code imports time"},
		{"a subdirectory of an impure package", "a/x.go", `package a; import _ "net/http"`, "",
			"a/x.go: pure code imports net/http"},
		{"a lock of another kind than allowed", "a/x.go", `package a; import _ "sync/atomic"`, "",
			"a/x.go: pure code imports sync/atomic"},
		{"another module in a pure package", "a/x.go", `package a; import _ "example.com/other"`, "",
			"a/x.go: pure code imports example.com/other"},
		{"an impure package of this module in a pure one", "a/x.go", `package a; import _ "example.com/m/d"`, "d < a\n",
			"a/x.go: pure code imports d, which is not pure"},
		{"a goroutine in a pure package", "a/x.go", `package a; func f() { func() { go f() }() }`, "",
			"a/x.go:1: pure code starts a goroutine"},
		{"chance without a seed", "a/x.go", `package a; import "math/rand/v2"; var x = rand.IntN(6)`, "",
			"a/x.go:1: pure code calls rand.IntN"},
		{"chance by another name", "a/x.go", `package a; import dice "math/rand"; var x = dice.Int()`, "",
			"a/x.go:1: pure code calls rand.Int"},
		{"chance without a name", "a/x.go", `package a; import . "math/rand"; var x = Int()`, "",
			"a/x.go: pure code imports math/rand without a name"},
		{"a file that breaks its own word", "b/core.go", "//balsa:pure\n\npackage b\n\nfunc f() {\n\tgo f()\n}", "",
			"b/core.go:6: pure code starts a goroutine"},
		{"a file that declares itself pure without being asked", "c/x.go", "package c\n\n//balsa:pure\n\nimport _ \"sync\"", "",
			"c/x.go: pure code imports sync"},
		{"a package that lost its pure file", "b/core.go", "package b", "",
			"b has no file with a //balsa:pure line"},
		{"a clock in a pure package's test", "a/a_test.go", `package a_test; import "time"; var t = time.Now()`, "",
			"a/a_test.go:1: a pure package's test uses time.Now"},
		{"virtual time in a pure package's test", "a/a_test.go", `package a_test; import "time"; var d time.Duration`, "", ""},
		{"chance in a pure package's test", "a/a_test.go", `package a_test; import "math/rand"; var x = rand.Int()`, "",
			"a/a_test.go:1: a pure package's test calls rand.Int"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, text := range sound {
				tree[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if tt.file != "" {
				tree[tt.file] = &fstest.MapFile{Data: []byte(tt.text)}
			}
			problems, err := checkPolicy(tree, rules+tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(problems) == 0 {
				return
			}
			if len(problems) != 1 || tt.want == "" || !strings.Contains(problems[0], tt.want) {
				t.Errorf("problems are %q, want one with %q", problems, tt.want)
			}
		})
	}
}

func TestPolicyWithBadRulesIsAnError(t *testing.T) {
	tree := fstest.MapFS{"go.mod": {Data: []byte("module m\n")}}
	for _, rules := range []string{"a b < c", "a <", "< a", "a", "a < b < a", "pure a", "pure a/*: x", "allow: x", "a !< b !< c", "future"} {
		if problems, err := checkPolicy(tree, rules); err == nil {
			t.Errorf("%q was understood, with problems %q", rules, problems)
		}
	}
}
