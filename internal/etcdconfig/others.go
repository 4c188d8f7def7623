package etcdconfig

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fate is what becomes of a flag that is not honoured.
type fate uint8

const (
	// ignored: the flag is accepted, and a warning says why it does nothing.
	ignored fate = iota
	// silent: the flag is accepted, and does nothing in etcd either, or what it asks for is so
	// always.
	silent
	// refused: to ignore the flag would be dangerous. Nothing starts.
	refused
)

// other is a flag that is not honoured.
type other struct {
	name  string
	kind  kind
	value string // etcd's default, with which the flag is accepted in silence
	fate  fate
	why   string
}

const (
	noBackend   = "there is no bbolt database here"
	noDiscovery = "discovery by another cluster is not there; name the members with --initial-cluster, or use --discovery-srv"
	byItself    = "balsa does this by itself, all the time"
	gone        = "etcd ignores it too"
)

var others = []other{
	// Storage.
	{"wal-dir", text, "", refused, "the log is in --data-dir; leave the flag out, and put --data-dir on the disk that is for the log"},
	{"max-snapshots", number, "5", ignored, "there are no snapshot files"},
	{"max-wals", number, "5", ignored, "the log is cut by its bytes"},
	{"snapshot-count", number, "10000", ignored, "the log is cut by its bytes"},
	{"snapshot-catchup-entries", number, "5000", ignored, "a member that is behind gets the files that it lacks"},
	{"backend-bbolt-freelist-type", text, "", ignored, noBackend},
	{"backend-batch-interval", duration, "0s", ignored, noBackend},
	{"backend-batch-limit", number, "0", ignored, noBackend},
	{"bootstrap-defrag-threshold-megabytes", number, "0", ignored, "there is nothing to defragment"},
	{"compaction-batch-limit", number, "0", ignored, "compaction never stops the server"},
	{"compaction-sleep-interval", duration, "0s", ignored, "compaction never stops the server"},
	{"memory-mlock", boolean, "false", ignored, "memory is not locked"},
	{"unsafe-no-fsync", boolean, "false", ignored, "balsa always syncs before it acknowledges"},
	{"force-new-cluster", boolean, "false", refused, `"balsa recover" makes the directory of a new cluster from that of one member`},
	{"corrupt-check-time", duration, "0s", ignored, byItself},
	{"compact-hash-check-time", duration, "1m0s", ignored, byItself},

	// Consensus.
	{"initial-election-tick-advance", boolean, "true", ignored, "the first election is as fast as any"},
	{"pre-vote", boolean, "true", ignored, "an election always begins with pre-votes"},
	{"strict-reconfig-check", boolean, "true", ignored, "a change of members that loses the quorum is always refused"},
	{"downgrade-check-time", duration, "5s", ignored, "balsa has no downgrades"},
	{"raft-read-timeout", duration, "5s", ignored, "connections between members live as --election-timeout says"},
	{"raft-write-timeout", duration, "5s", ignored, "connections between members live as --election-timeout says"},
	{"socket-reuse-port", boolean, "false", ignored, "a port belongs to one process"},
	{"socket-reuse-address", boolean, "false", silent, "Go does that always"},

	// Discovery by another cluster.
	{"discovery-endpoints", text, "", refused, noDiscovery},
	{"discovery-token", text, "", refused, noDiscovery},
	{"discovery-dial-timeout", duration, "2s", ignored, noDiscovery},
	{"discovery-request-timeout", duration, "5s", ignored, noDiscovery},
	{"discovery-keepalive-time", duration, "2s", ignored, noDiscovery},
	{"discovery-keepalive-timeout", duration, "6s", ignored, noDiscovery},
	{"discovery-insecure-transport", boolean, "true", ignored, noDiscovery},
	{"discovery-insecure-skip-tls-verify", boolean, "false", ignored, noDiscovery},
	{"discovery-cert", text, "", ignored, noDiscovery},
	{"discovery-key", text, "", ignored, noDiscovery},
	{"discovery-cacert", text, "", ignored, noDiscovery},
	{"discovery-user", text, "", ignored, noDiscovery},
	{"discovery-password", text, "", ignored, noDiscovery},
	{"discovery-fallback", text, "exit", refused, "there is no proxy, as in etcd"},

	// TLS.
	{"client-cert-file", text, "", silent, "the server does not connect to itself"},
	{"client-key-file", text, "", silent, "the server does not connect to itself"},
	{"peer-client-cert-file", text, "", refused, "a member shows --peer-cert-file in both directions; it must be good for servers and clients"},
	{"peer-client-key-file", text, "", refused, "a member shows --peer-cert-file in both directions; it must be good for servers and clients"},
	{"peer-skip-client-san-verification", boolean, "false", ignored, "a member's certificate must name the member, not its address"},

	// Logs and traces.
	{"logger", text, "zap", refused, "there is one logger"},
	{"warning-apply-duration", duration, "100ms", ignored, "a request that took --warning-unary-request-duration is logged, with how long its execution took"},

	// What does nothing in etcd 3.7 either.
	{"v2-deprecation", text, "write-only", ignored, gone},
	{"cluster-active-size", text, "", silent, gone},
	{"cluster-remove-delay", text, "", silent, gone},
	{"cluster-sync-interval", text, "", silent, gone},
	{"config", text, "", silent, gone},
	{"force", boolean, "", silent, gone},
	{"max-result-buffer", text, "", silent, gone},
	{"max-retry-attempts", text, "", silent, gone},
	{"peer-heartbeat-interval", text, "", silent, gone},
	{"peer-election-timeout", text, "", silent, gone},
	{"retry-interval", text, "", silent, gone},
	{"snapshot", boolean, "", silent, gone},
	{"v", boolean, "", silent, gone},
	{"vv", boolean, "", silent, gone},
	{"test.coverprofile", text, "", silent, gone},
	{"test.outputdir", text, "", silent, gone},
}

func (o *other) usage() string {
	if o.fate == refused {
		return "refused, unless as by default: " + o.why
	}
	return "accepted, and does nothing: " + o.why
}

// otherValue is the value of a flag that is not honoured.
type otherValue struct {
	other *other
	value string
}

func (v *otherValue) String() string   { return v.value }
func (v *otherValue) IsBoolFlag() bool { return v.other != nil && v.other.kind == boolean }

func (v *otherValue) Set(value string) error {
	if v.other.fate != silent {
		if err := v.other.kind.check(value); err != nil {
			return err
		}
	}
	v.value = value
	return nil
}

// isDefault tells whether the flag says what etcd does anyway.
func (v *otherValue) isDefault() bool {
	return v.value == "" || sameValue(v.other.kind, v.value, v.other.value)
}

// gates is the value of --feature-gates: each gate of etcd 3.7 and whether it is on. What they
// switch is so always, or is not there at all, so nothing follows from them.
type gates struct{}

var knownGates = []string{
	"AllAlpha", "AllBeta",
	"CompactHashCheck", "FastLeaseKeepAlive", "InitialCorruptCheck", "LeaseCheckpoint", "LeaseCheckpointPersist",
	"PriorityRequest", "SetMemberLocalAddr", "StopGRPCServiceOnDefrag", "TxnModeWriteWithSharedBuffer",
}

func (gates) String() string { return "" }

func (gates) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		if _, err := strconv.ParseBool(strings.TrimSpace(value)); err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		if !slices.Contains(knownGates, name) {
			return fmt.Errorf("unrecognized feature gate: %s", name)
		}
	}
	return nil
}

// experimental are flags of etcd 3.5 that begin with "experimental-". They have the same names
// without that now, or are feature gates.
var experimental = []string{
	"bootstrap-defrag-threshold-megabytes", "compact-hash-check-enabled", "compact-hash-check-time", "compaction-batch-limit",
	"compaction-sleep-interval", "corrupt-check-time", "distributed-tracing-address", "distributed-tracing-instance-id",
	"distributed-tracing-sampling-rate", "distributed-tracing-service-name", "downgrade-check-time",
	"enable-distributed-tracing", "enable-lease-checkpoint", "enable-lease-checkpoint-persist", "initial-corrupt-check",
	"max-learners", "memory-mlock", "peer-skip-client-san-verification", "set-member-localaddr", "snapshot-catchup-entries",
	"stop-grpc-service-on-defrag", "txn-mode-write-with-shared-buffer", "warning-apply-duration",
	"warning-unary-request-duration", "watch-progress-notify-interval",
}

// addExperimental adds these flags to the others.
func addExperimental(fs *flag.FlagSet) {
	for _, name := range experimental {
		now := "--feature-gates"
		value := flag.Value(&otherValue{other: &other{name: name, kind: boolean, fate: silent}})
		if f := fs.Lookup(name); f != nil {
			now, value = "--"+name, f.Value
		}
		fs.Var(value, "experimental-"+name, "of etcd 3.5: "+now+" now")
	}
}

// DoesNothing tells whether a flag is accepted without an effect, or refused.
func DoesNothing(f *flag.Flag) bool {
	switch f.Value.(type) {
	case *otherValue, gates:
		return true
	}
	return strings.HasPrefix(f.Name, "experimental-")
}
