package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// masks make of what differs between any two runs what does not: revisions count from the beginning
// of the check, leases have numbers in the order in which they come, and the rest is a star.
type masks struct {
	base   int64
	leases []int64
}

// hidden are fields whose values say nothing. What is asked of them is to be there.
var hidden = []protoreflect.Name{
	"cluster_id", "member_id", "raft_term", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse", "dbSizeQuota",
	"leader", "hash", "token", "peerURLs", "clientURLs", "remaining_bytes", "blob", "memberID", "targetID", "authRevision",
}

// revisions are fields that hold one.
var revisions = []protoreflect.Name{
	"revision", "create_revision", "mod_revision", "compact_revision", "start_revision", "min_mod_revision", "max_mod_revision",
	"min_create_revision", "max_create_revision", "rev", "hash_revision",
}

// render is a message on one line. Fields with their default are left out.
func (m *masks) render(msg proto.Message) string {
	if msg == nil || !msg.ProtoReflect().IsValid() {
		return "nil"
	}
	switch r := msg.(type) { // with lists in any order
	case *pb.LeaseTimeToLiveResponse:
		r = proto.CloneOf(r)
		slices.SortFunc(r.Keys, bytes.Compare)
		msg = r
	case *pb.AlarmResponse:
		r = proto.CloneOf(r)
		slices.SortFunc(r.Alarms, func(a, b *pb.AlarmMember) int { return int(a.Alarm - b.Alarm) })
		msg = r
	case *pb.MemberListResponse:
		r = proto.CloneOf(r)
		slices.SortFunc(r.Members, func(a, b *pb.Member) int { return strings.Compare(a.Name, b.Name) })
		msg = r
	}
	var b strings.Builder
	m.message(&b, msg.ProtoReflect())
	return b.String()
}

// header is a whole header of a response, on which only the revision says anything.
func (m *masks) header(msg protoreflect.Message) (text string, ok bool) {
	h, ok := msg.Interface().(*pb.ResponseHeader)
	if !ok || h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 {
		return "", false
	}
	return "head@" + m.revision(h.Revision), true
}

func (m *masks) message(b *strings.Builder, msg protoreflect.Message) {
	if text, ok := m.header(msg); ok {
		b.WriteString(text)
		return
	}
	fields := msg.Descriptor().Fields()
	b.WriteString("{")
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if !msg.Has(f) {
			continue
		}
		if !first {
			b.WriteString(" ")
		}
		first = false
		fmt.Fprintf(b, "%s:", f.Name())
		if slices.Contains(hidden, f.Name()) {
			b.WriteString("*")
			continue
		}
		v := msg.Get(f)
		if !f.IsList() {
			m.value(b, f, v)
			continue
		}
		m.list(b, f, v.List())
	}
	b.WriteString("}")
}

// list renders the first elements of a list, and of the rest a checksum.
func (m *masks) list(b *strings.Builder, f protoreflect.FieldDescriptor, list protoreflect.List) {
	const whole = 12
	var rest strings.Builder
	b.WriteString("[")
	for i := range list.Len() {
		to := b
		if i >= whole {
			to = &rest
		}
		if i > 0 {
			to.WriteString(" ")
		}
		m.value(to, f, list.Get(i))
	}
	if rest.Len() > 0 {
		fmt.Fprintf(b, " and %d with checksum %08x", list.Len()-whole, crc32.ChecksumIEEE([]byte(rest.String())))
	}
	b.WriteString("]")
}

func (m *masks) value(b *strings.Builder, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	parent := string(f.ContainingMessage().Name())
	switch {
	case f.Kind() == protoreflect.MessageKind:
		m.message(b, v.Message())
	case f.Kind() == protoreflect.BytesKind:
		fmt.Fprintf(b, "%q", short(string(v.Bytes())))
	case f.Kind() == protoreflect.StringKind:
		fmt.Fprintf(b, "%q", short(v.String()))
	case f.Kind() == protoreflect.EnumKind:
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			b.WriteString(string(d.Name()))
		} else {
			fmt.Fprint(b, v.Enum())
		}
	case slices.Contains(revisions, f.Name()):
		b.WriteString(m.revision(v.Int()))
	case f.Name() == "lease" || f.Name() == "ID" && strings.HasPrefix(parent, "Lease"):
		b.WriteString(m.lease(v.Int()))
	case f.Name() == "ID":
		b.WriteString("*")
	case f.Name() == "TTL" && parent == "LeaseTimeToLiveResponse" && v.Int() > 0:
		b.WriteString("left")
	default:
		fmt.Fprint(b, v.Interface())
	}
}

// short shortens a long text.
func short(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... of %d bytes", s[:20], len(s))
}

func (m *masks) revision(r int64) string {
	if r <= 0 || r > math.MaxInt32 {
		return strconv.FormatInt(r, 10)
	}
	if r < m.base { // by an earlier check
		return "before"
	}
	return fmt.Sprintf("%+d", r-m.base)
}

func (m *masks) lease(id int64) string {
	if id >= 0 && id < 1<<20 { // chosen by the check
		return strconv.FormatInt(id, 10)
	}
	i := slices.Index(m.leases, id)
	if i < 0 {
		i, m.leases = len(m.leases), append(m.leases, id)
	}
	return fmt.Sprintf("L%d", i+1)
}

var (
	jsonRevision = regexp.MustCompile(`"(revision|create_revision|mod_revision|compact_revision|hash_revision)":(\d+)`)
	jsonHidden   = regexp.MustCompile(`"(cluster_id|member_id|raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|dbSizeQuota|leader|hash|ID|id|lease|memberID|total-size|totalSize)":"?\d+"?`)
	fieldHidden  = regexp.MustCompile(`"(Revision|CreateRevision|ModRevision|RaftTerm|Hash|HashRevision|CompactRevision|MemberID|ClusterID)" : \d+`)
	hexID        = regexp.MustCompile(`\b[0-9a-f]{15,16}\b`)
	decimalID    = regexp.MustCompile(`\b\d{16,20}\b`)
	address      = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	ttl          = regexp.MustCompile(`"(ttl|TTL)":"?\d+"?`)
	took         = regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s)\b`)
	authRevision = regexp.MustCompile(`AuthRevision: \d+`) // checks before this one have changed users, too
	timeLeft     = regexp.MustCompile(`remaining\(\d+s\)`)
	protoGap     = regexp.MustCompile(`(\b\w+:\S+)  (\w+:)`) // one space or two, by a hash of the program that prints a message
)

// text masks what etcdctl prints.
func (m *masks) text(s string) string {
	s = jsonRevision.ReplaceAllStringFunc(s, func(found string) string {
		parts := jsonRevision.FindStringSubmatch(found)
		r, _ := strconv.ParseInt(parts[2], 10, 64)
		return fmt.Sprintf("%q:%s", parts[1], m.revision(r))
	})
	s = jsonHidden.ReplaceAllString(s, `"$1":*`)
	s = fieldHidden.ReplaceAllString(s, `"$1" : *`)
	s = hexID.ReplaceAllString(s, "ID")
	s = decimalID.ReplaceAllString(s, "ID")
	s = address.ReplaceAllString(s, "HOST")
	s = ttl.ReplaceAllString(s, `"$1":left`)
	s = timeLeft.ReplaceAllString(s, "remaining(left)")
	s = authRevision.ReplaceAllString(s, "AuthRevision: *")
	s = protoGap.ReplaceAllString(s, "$1 $2")
	return took.ReplaceAllString(s, "TIME")
}

// watch renders the answers of a stream of watches: by watch, since the answers of several may come
// in any order, and those with events as one, since a server may put them together as it likes.
func (m *masks) watch(responses []proto.Message) string {
	var order []int64
	of := map[int64][]string{}
	add := func(id int64, text string) {
		if _, ok := of[id]; !ok {
			order = append(order, id)
		}
		of[id] = append(of[id], text)
	}
	for _, msg := range responses {
		r, ok := msg.(*pb.WatchResponse)
		if !ok {
			continue
		}
		switch {
		case r.Created && r.Canceled:
			add(r.WatchId, fmt.Sprintf("refused %q", r.CancelReason))
		case r.Created:
			add(r.WatchId, "created")
		case r.Canceled:
			add(r.WatchId, fmt.Sprintf("canceled %q compacted %s", r.CancelReason, m.revision(r.CompactRevision)))
		case len(r.Events) == 0:
			add(r.WatchId, "progress")
		}
		for _, e := range r.Events {
			add(r.WatchId, m.render(e))
		}
	}
	slices.Sort(order)
	var all []string
	for _, id := range order {
		all = append(all, fmt.Sprintf("watch %d: %s", id, strings.Join(slices.Compact(of[id]), ", ")))
	}
	return strings.Join(all, "; ")
}
