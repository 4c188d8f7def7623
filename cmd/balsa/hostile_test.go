package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"balsa.example/api"
	"balsa.example/internal/terminal"
)

// evil would change the title of a terminal, and write over lines.
const evil = "owned\x1b]0;title\a\x1b[2J\r\u009b1A\x7f"

// hostile is a server that puts commands for a terminal wherever it says something. One that refuses does so
// in its reasons.
type hostile struct {
	api.UnimplementedKVServer
	address string
	refuses bool
}

func newHostile(t *testing.T, refuses bool) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{address: l.Addr().String(), refuses: refuses}
	s := grpc.NewServer(grpc.UnaryInterceptor(h.answer))
	api.RegisterKVServer(s, h)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return h
}

// poison fills a message, and those in it: numbers with 1, so that all ids are the same, and texts with evil.
func (h *hostile) poison(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.ContainingOneof() != nil {
			continue
		}
		switch {
		case f.IsMap():
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			one := m.Mutable(f).List().AppendMutable()
			h.poison(one.Message())
		case f.IsList():
			m.Mutable(f).List().Append(h.value(f))
		case f.Kind() == protoreflect.MessageKind:
			h.poison(m.Mutable(f).Message())
		default:
			m.Set(f, h.value(f))
		}
	}
}

func (h *hostile) value(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		if f.Name() == "client_urls" {
			return protoreflect.ValueOfString("http://" + h.address)
		}
		return protoreflect.ValueOfString(evil)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(evil))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(0)
	default:
		return f.Default()
	}
}

// replies are the messages that answer calls, by the name of the method.
var replies = map[string]func() proto.Message{
	"Status":             func() proto.Message { return new(api.StatusReply) },
	"TransferLeadership": func() proto.Message { return new(api.TransferLeadershipReply) },
	"LogLevel":           func() proto.Message { return new(api.LogLevelReply) },
	"Members":            func() proto.Message { return new(api.MembersReply) },
	"ChangeMembers":      func() proto.Message { return new(api.MembersReply) },
	"Authenticate":       func() proto.Message { return new(api.AuthenticateReply) },
	"ChangeUsers":        func() proto.Message { return new(api.UsersChanged) },
	"Users":              func() proto.Message { return new(api.UsersReply) },
	"Alarms":             func() proto.Message { return new(api.AlarmsReply) },
}

// answer answers all calls but those of streams.
func (h *hostile) answer(_ context.Context, _ any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	newReply, ok := replies[method]
	if !ok || h.refuses && method != "Status" {
		return nil, status.Error(codes.InvalidArgument, evil)
	}
	reply := newReply()
	h.poison(reply.ProtoReflect())
	if s, is := reply.(*api.StatusReply); is {
		s.Role, s.Waiting = api.Role_LEADER, ""
		if h.refuses {
			s.Waiting = evil
		}
	}
	return reply, nil
}

// Exchange implements api.KVServer.
func (h *hostile) Exchange(stream grpc.BidiStreamingServer[api.RequestBatch, api.ReplyBatch]) error {
	hello := new(api.Hello)
	h.poison(hello.ProtoReflect())
	if err := stream.Send(&api.ReplyBatch{Hello: hello}); err != nil {
		return err
	}
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		var all api.ReplyBatch
		for _, q := range batch.Requests {
			all.Replies = append(all.Replies, h.reply(q))
		}
		if err := stream.Send(&all); err != nil {
			return err
		}
	}
}

func (h *hostile) reply(q *api.Request) *api.Reply {
	r := &api.Reply{Id: q.Id, Message: evil, Value: []byte(evil), Version: 1, CreateRevision: 1, ModRevision: 1, Revision: 1}
	if h.refuses {
		r.Code = api.Reply_INVALID
		return r
	}
	switch q.Kind {
	case api.Request_RANGE:
		one := new(api.RangeReply)
		h.poison(one.ProtoReflect())
		one.More = false
		r.Result = &api.Reply_Range{Range: one}
	case api.Request_TXN:
		one := new(api.RangeReply)
		h.poison(one.ProtoReflect())
		r.Result = &api.Reply_Txn{Txn: &api.TxnReply{Succeeded: true, Replies: []*api.OpReply{{Op: &api.OpReply_Range{Range: one}}}}}
	case api.Request_DELETE_RANGE:
		r.Result = &api.Reply_DeleteRange{DeleteRange: &api.DeleteRangeReply{Deleted: 1}}
	case api.Request_LEASE_TIME_TO_LIVE, api.Request_LEASE_GRANT, api.Request_LEASE_KEEP_ALIVE:
		one := new(api.LeaseReply)
		h.poison(one.ProtoReflect())
		one.TtlMs, one.GrantedMs = 60_000, 60_000
		r.Result = &api.Reply_Lease{Lease: one}
	}
	return r
}

// drawn is what the program itself writes to a terminal: colours, and a line that goes away.
var drawn = regexp.MustCompile("\x1b\\[[0-9]*m|\r|\x1b\\[K")

// No command shows a terminal what a server, a key or a value would have it do: not in its result, not in what it
// tells of an error. Elsewhere only keys and values are as they are.
func TestNoTextOfOthersIsACommandOfTheTerminal(t *testing.T) {
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, evil, http.StatusServiceUnavailable) }))
	defer ill.Close()
	ofServers := []string{
		"status", "member list", "member add n2", "member remove n2", "member promote n2", "member replace n2", "member update n2 --peer-urls http://127.0.0.1:1",
		"move-leader", "log-level", "log-level debug", "alarm list", "alarm disarm", "doctor --sample 0s", "compact 1", "put k v", "del k", "del --prefix k", "lease grant 60s",
		"lease ttl 1", "lease list", "lease revoke 1", "user list", "user get u", "role list", "role get r", "auth status", "backup BACKUP", "health", "health --live",
	}
	ofKeys := []string{"get k", "get k -v", "get k --raw", "get k -o json", "get --prefix k", "ls", "ls -o json", "export", "txn put k v"}
	for name, refuses := range map[string]bool{"answers": false, "refuses": true} {
		h, told := newHostile(t, refuses), 0
		check := func(command string, seen bool) {
			t.Helper()
			endpoint := h.address
			if strings.HasPrefix(command, "health") {
				endpoint = ill.URL
			}
			args := strings.Fields(strings.Replace(command, "BACKUP", t.TempDir(), 1) + " --timeout 5s --endpoints " + endpoint)
			var out shared // with the line of a task that takes long
			p := program{stdin: strings.NewReader(""), stdout: &out, stderr: &out, env: noEnv}
			if seen {
				p.screen = func() terminal.Size { return terminal.Size{Columns: 400, Rows: 100} }
			}
			p.run(t.Context(), args)
			text := drawn.ReplaceAllString(out.String(), "")
			if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
				t.Errorf("balsa %s, where the server %s, and on a terminal: %t: %q", command, name, seen, text[i:])
			}
			if strings.Contains(text, "owned") {
				told++
			}
		}
		for _, command := range ofServers {
			check(command, true)
			check(command, false)
		}
		for _, command := range ofKeys {
			check(command, true)
		}
		if told < len(ofServers)+len(ofKeys) {
			t.Errorf("a server that %s is heard %d times in %d commands", name, told, 2*len(ofServers)+len(ofKeys))
		}
	}
}
