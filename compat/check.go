package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// check is a short program, and the name by which it is chosen.
type check struct {
	name string
	run  func(*T)
	// loose says that calls come in any order or number, so that only what the check says counts.
	loose bool
}

func allChecks() (all []check) {
	for _, group := range [][]check{kvChecks, txnChecks, watchChecks, leaseChecks, recipeChecks, ctlChecks, maintenanceChecks, memberChecks, httpChecks, transportChecks, metricsChecks, authChecks, faultChecks} {
		all = append(all, group...)
	}
	return all
}

// checkTimeout bounds a check, and patience all that it waits for: no answer depends on either, unless there is none.
// How fast the machine is must not change what a check says, so nothing else is measured in time.
const (
	checkTimeout = 10 * time.Minute
	patience     = time.Minute
)

// T is what a check works with.
type T struct {
	ctx      context.Context
	name     string
	cluster  *cluster
	programs programs
	conns    []*grpc.ClientConn
	client   *clientv3.Client
	masks    masks
	lines    []string
	flaws    []string // mistakes of the check itself: no run with one is of use, not even where the servers agree
	cleanup  []func()
}

// runChecks starts a cluster of a system, and runs the checks of a suite on it.
func runChecks(ctx context.Context, s *suite, system string, p programs, dir string, o *options) (all records, err error) {
	program := p.balsa
	if system == "etcd" {
		program = p.etcd
	}
	c, err := startCluster(ctx, system, program, dir)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if _, err := c.check(ctx, check{name: "begin", run: begin}, p); err != nil {
		return nil, err
	}
	if s.start != nil {
		if c.guest, err = s.start(ctx, c, p); err != nil {
			return nil, err
		}
	}
	for _, check := range s.checks {
		if !o.run.MatchString(check.name) {
			continue
		}
		r, err := c.check(ctx, check, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", system, check.name, err)
		}
		all = append(all, r)
		if o.verbose {
			fmt.Printf("# %s (%s)\n%s\n\n", r.name, system, strings.Join(r.lines, "\n"))
		}
	}
	return all, nil
}

// begin compacts the first revision, which is so for each check then, whichever run before it.
func begin(t *T) {
	t.put("a", "1")
	_, err := t.sendTo(0, mustDelete(t.b("a")))
	t.fail("delete", err)
	t.fail("compact", second(t.sendTo(0, &pb.CompactionRequest{Revision: t.masks.base + 2})))
}

// errStop ends a check early.
var errStop = errors.New("check ends here")

// check runs one check.
func (c *cluster) check(ctx context.Context, check check, p programs) (r *record, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	t := &T{ctx: ctx, name: check.name, cluster: c, programs: p}
	defer func() {
		for _, f := range t.cleanup {
			f()
		}
	}()
	for _, endpoint := range c.endpoints() {
		conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
		if err != nil {
			return nil, err
		}
		t.cleanup = append(t.cleanup, func() { conn.Close() })
		t.conns = append(t.conns, conn)
	}
	t.client = t.newClient(clientv3.Config{})
	func() {
		defer func() {
			if e := recover(); e != nil && e != errStop {
				t.say("panic", "%v", e)
			}
		}()
		t.masks.base = t.settle()
		c.rec.take()
		check.run(t)
	}()
	lines := t.lines
	for i, call := range c.rec.take() {
		if !check.loose {
			lines = append(lines, fmt.Sprintf("call %d: %s", i+1, call.text(&t.masks)))
		}
	}
	if c.guest == nil { // which has leases of its own
		t.revokeAll()
	}
	if len(t.flaws) > 0 {
		return nil, fmt.Errorf("a flaw of the check: %s", strings.Join(t.flaws, "; "))
	}
	return &record{name: check.name, lines: lines}, nil
}

// revokeAll ends all leases that a check has left: one that expired later would add a revision to
// another check.
func (t *T) revokeAll() {
	leases, err := t.sendTo(0, &pb.LeaseLeasesRequest{})
	if err != nil {
		return
	}
	for _, l := range leases.(*pb.LeaseLeasesResponse).Leases {
		t.sendTo(0, &pb.LeaseRevokeRequest{ID: l.ID})
	}
	t.cluster.rec.take()
}

// say notes what the check has found.
func (t *T) say(step, format string, args ...any) {
	text := strings.ReplaceAll(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n", " | ")
	t.lines = append(t.lines, strings.ReplaceAll(step, ": ", " ")+": "+text)
}

// flaw notes a mistake of the check itself, which fails the whole run.
func (t *T) flaw(step, format string, args ...any) {
	t.flaws = append(t.flaws, step+": "+fmt.Sprintf(format, args...))
}

// await waits until something is so, or ends the check.
func (t *T) await(step string, is func() bool) {
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if t.ctx.Err() != nil || time.Now().After(deadline) {
			t.say(step, "never")
			panic(errStop)
		}
	}
}

// fail ends the check if there is an error, which it says.
func (t *T) fail(step string, err error) {
	if err != nil {
		t.say(step, "failed: %s", errorText(err))
		panic(errStop)
	}
}

// newClient is a client of all members, or as cfg says.
func (t *T) newClient(cfg clientv3.Config) *clientv3.Client {
	if cfg.Endpoints == nil {
		cfg.Endpoints = t.cluster.endpoints()
	}
	cfg.DialTimeout, cfg.Logger = patience, zap.NewNop()
	c, err := clientv3.New(cfg)
	t.fail("connect", err)
	t.cleanup = append(t.cleanup, func() { c.Close() })
	return c
}

// k is a key of this check.
func (t *T) k(key string) string { return t.name + "/" + key }

// b is that as bytes.
func (t *T) b(key string) []byte { return []byte(t.k(key)) }

// end is the end of the range of this check's keys.
func (t *T) end() []byte { return []byte(t.name + "0") }

// unaryMethods are the names of methods by their requests.
var unaryMethods = func() map[protoreflect.FullName]protoreflect.MethodDescriptor {
	all := make(map[protoreflect.FullName]protoreflect.MethodDescriptor)
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				if m := methods.Get(j); !m.IsStreamingServer() && !m.IsStreamingClient() {
					all[m.Input().FullName()] = m
				}
			}
		}
		return true
	})
	return all
}()

// send sends a request to the first member, without any client's retries. The recorder notes the
// answer.
func (t *T) send(req proto.Message) proto.Message {
	resp, _ := t.sendTo(0, req)
	return resp
}

func (t *T) sendTo(member int, req proto.Message) (proto.Message, error) {
	return t.sendWith(t.ctx, member, req)
}

func (t *T) sendWith(ctx context.Context, member int, req proto.Message) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m := unaryMethods[req.ProtoReflect().Descriptor().FullName()]
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
	t.fail("method", err)
	resp := kind.New().Interface()
	err = t.conns[member].Invoke(ctx, fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()), req, resp)
	return resp, err
}

// put puts a key of this check, and returns its revision.
func (t *T) put(key, value string) int64 {
	resp, err := t.sendTo(0, &pb.PutRequest{Key: t.b(key), Value: []byte(value)})
	t.fail("put "+key, err)
	return resp.(*pb.PutResponse).Header.Revision
}

// settle returns when each member has executed all that was acknowledged, and the revision: a watch, a status or a
// serializable read at one that is behind says something else, in etcd too, and so does a leader of leases.
func (t *T) settle() (revision int64) { return t.settleAs("") }

// settleAs does so with the token of a user who may read.
func (t *T) settleAs(token string) (revision int64) {
	for i := range t.conns {
		resp, err := t.sendWith(t.withToken(token), i, &pb.RangeRequest{Key: t.b("a")})
		t.fail("settle", err)
		revision = resp.(*pb.RangeResponse).Header.Revision
	}
	return revision
}

// count is how many keys of this check there are that begin so.
func (t *T) count(prefix string) int64 {
	r, err := t.client.Get(t.ctx, t.k(prefix), clientv3.WithPrefix(), clientv3.WithCountOnly())
	t.fail("count "+prefix, err)
	return r.Count
}

// withToken is a context whose calls show a token, if there is one.
func (t *T) withToken(token string) context.Context {
	if token == "" {
		return t.ctx
	}
	return metadata.AppendToOutgoingContext(t.ctx, "token", token)
}

func (t *T) status(member int) *pb.StatusResponse {
	resp, err := t.sendTo(member, &pb.StatusRequest{})
	t.fail("status", err)
	return resp.(*pb.StatusResponse)
}

// leader is the member that leads, and a member that does not. It waits for an election.
func (t *T) leader() (leads, follows int) {
	t.await("leader", func() bool {
		for leads = range t.conns {
			if s := t.status(leads); s.Leader == s.Header.MemberId {
				return true
			}
		}
		return false
	})
	return leads, (leads + 1) % len(t.conns)
}

// ctl runs etcdctl, and notes what it prints and how it ends.
func (t *T) ctl(args ...string) string { return t.ctlWith("", args...) }

func (t *T) ctlWith(stdin string, args ...string) string {
	out, errs, code := t.ctlQuiet(stdin, args...)
	step := "etcdctl " + strings.ReplaceAll(t.masks.text(strings.Join(args, " ")), t.cluster.dir, "DIR")
	t.say(step, "%s", strings.ReplaceAll(t.masks.text(out), t.cluster.dir, "DIR"))
	if text := onlyErrors(errs); code != "0" || text != "" {
		t.say(step+" ends", "%s %s", code, t.masks.text(text))
	}
	return out
}

// ctlQuiet runs etcdctl without saying so.
func (t *T) ctlQuiet(stdin string, args ...string) (output, errors, code string) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.programs.etcdctl, args...)
	cmd.Env = t.ctlEnv(args)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	code = "0"
	if err != nil {
		code = fmt.Sprint(cmd.ProcessState.ExitCode())
	}
	return out.String(), errs.String(), code
}

// ctlEnv is the environment of an etcdctl: what its arguments do not say. It refuses to be told the same by both.
func (t *T) ctlEnv(args []string) []string {
	env := append(os.Environ(), "ETCDCTL_API=3")
	for _, set := range []struct{ flag, variable, value string }{
		{"--endpoints", "ETCDCTL_ENDPOINTS", strings.Join(t.cluster.endpoints(), ",")},
		{"--command-timeout", "ETCDCTL_COMMAND_TIMEOUT", patience.String()},
		{"--dial-timeout", "ETCDCTL_DIAL_TIMEOUT", patience.String()},
	} {
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, set.flag) }) {
			env = append(env, set.variable+"="+set.value)
		}
	}
	return env
}

// onlyErrors are the lines of a client's log that are its last words.
func onlyErrors(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "{") {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	return strings.Join(kept, " | ")
}
