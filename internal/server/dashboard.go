package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/gateway"
	"balsa.example/internal/frontend/ui"
	"balsa.example/internal/metrics"
	"balsa.example/member"
	"balsa.example/raft"
)

// UI says whether a server shows the dashboard.
type UI uint8

const (
	// NoUI: it does not.
	NoUI UI = iota
	// LookUI shows, and changes nothing.
	LookUI
	// ChangeUI lets those change things who may.
	ChangeUI
)

const (
	// reportAge is how old what is known of the other members may be, and reportTime how long one of them
	// may take to answer.
	reportAge  = 900 * time.Millisecond
	reportTime = 700 * time.Millisecond
	// reportKept is for how long a report stands for a member that is connected, and too busy to answer in
	// time.
	reportKept = 5 * time.Second
)

// dashboard is a ui.Cluster.
type dashboard struct {
	s *Server

	mu      sync.Mutex // held while the other members are asked: who comes meanwhile wants the same
	at      time.Time
	reports map[raft.NodeID]*heard
}

// heard is what a member has said, and the points that it has told so far.
type heard struct {
	report *ui.Report
	at     time.Time // of the report
	why    string
	points []metrics.Point
}

// withDashboard puts the dashboard before other handlers, if it is wanted.
func (s *Server) withDashboard(others http.Handler) http.Handler {
	if s.cfg.UI == NoUI {
		return others
	}
	s.dashboard = &dashboard{s: s, reports: map[raft.NodeID]*heard{}}
	show := ui.New(ui.Config{
		Cluster: s.dashboard, Named: s.named, Writes: s.cfg.UI == ChangeUI, Stopping: s.ctx.Done(),
		Etcd: gateway.New(gateway.Config{
			Methods: etcd.Methods, Bounds: s.cfg.etcdBounds(), Calls: s.calls, Requests: s.asked, Origins: []string{}, Client: s.clientOf, Entrance: s.etcd,
		}),
	})
	mux := http.NewServeMux()
	mux.Handle("/ui", show)
	mux.Handle("/ui/", show)
	mux.Handle("GET /{$}", http.RedirectHandler("/ui/", http.StatusTemporaryRedirect)) // for a browser that is given the address alone
	if others != nil {
		mux.Handle("/", others)
	}
	return mux
}

// named tells whether a request came by TLS, or by a name that is ours.
func (s *Server) named(r *http.Request) bool {
	client, done := s.clientOf(r.Context())
	defer done()
	return !client.Plain() || s.ours(r.Host)
}

// ours tells whether a host, maybe with a port, is an address, or a name of a member.
func (s *Server) ours(hostPort string) bool {
	host := (&url.URL{Host: hostPort}).Hostname()
	if host == "localhost" || net.ParseIP(host) != nil || slices.Contains(s.cfg.Hosts, host) {
		return true
	}
	for _, one := range s.member.Known().All {
		for _, raw := range s.clientURLs(one) {
			if u, err := url.Parse(raw); err == nil && u.Hostname() == host {
				return true
			}
		}
	}
	return false
}

// as is the context of a call with a token.
func as(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("token", token))
}

// Login implements ui.Cluster.
func (d *dashboard) Login(ctx context.Context, user, password string) (string, error) {
	r, err := d.s.native.Authenticate(ctx, &api.AuthenticateRequest{User: user, Password: password})
	return r.GetToken(), err
}

// Overview implements ui.Cluster.
func (d *dashboard) Overview(ctx context.Context, token string, since map[string]int64) (*ui.Overview, error) {
	if _, err := d.s.native.Status(as(ctx, token), &api.StatusRequest{}); err != nil {
		return nil, err
	}
	known := d.s.member.Known()
	o := &ui.Overview{
		Now: time.Now().UnixMilli(), Cluster: fmt.Sprintf("%016x", d.s.member.ClusterID()),
		Self: idText(d.s.id()), Name: d.s.cfg.Name, Leader: idText(known.Leader),
	}
	r := d.s.native.Replica()
	if r == nil {
		return d.alone(o, known.All), nil
	}
	o.Auth = r.Access.Enabled()
	u, err := r.Access.Identify(ctx, token, "")
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	o.User, o.Root = u.Name, d.s.native.Require(as(ctx, token), true) == nil
	reports := d.heardOf(ctx, known.All)
	lead := reports[known.Leader]
	peers := d.s.peers(r.Status().Peers)
	for _, one := range known.All {
		m := d.member(one, reports[one.ID], since[idText(one.ID)])
		if m.Behind = -1; lead != nil && lead.report != nil && m.Report != nil {
			m.Behind = max(0, int64(lead.report.LastIndex)-int64(m.Report.LastIndex))
		}
		for _, p := range peers {
			m.Diverged = m.Diverged || p.NodeId == uint64(one.ID) && p.Diverged
		}
		o.Members = append(o.Members, m)
	}
	slices.SortFunc(o.Members, inOrder)
	return o, nil
}

// inOrder has n2 before n10, and behind a member that which is to replace it under the same name.
func inOrder(a, b ui.Member) int {
	return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name), cmp.Compare(len(a.Replaces), len(b.Replaces)), cmp.Compare(a.ID, b.ID))
}

// alone is the overview of a member that has no replica: a witness, or one that has just been started. It
// cannot prove users, so it tells of itself alone.
func (d *dashboard) alone(o *ui.Overview, all []member.Info) *ui.Overview {
	report := d.s.report(question{})
	if report.Waiting == "" {
		report.Waiting = d.s.native.Waiting()
	}
	self := member.Info{ID: d.s.id(), Name: d.s.cfg.Name, Started: true}
	for _, one := range all {
		if one.ID == d.s.id() {
			self = one
		}
	}
	m := d.member(self, &heard{report: report, points: report.Points}, 0)
	m.Connected, m.Behind = true, -1
	o.Members = []ui.Member{m}
	return o
}

// member is one member, and what it said.
func (d *dashboard) member(one member.Info, h *heard, since int64) ui.Member {
	m := ui.Member{
		ID: idText(one.ID), Name: one.Name, Peers: one.Peers, Clients: d.s.clientURLs(one), Voter: one.Voter, Promote: one.Promote,
		Witness: one.Witness, Started: one.Started, Replaces: idText(one.Replaces), Connected: one.ID == d.s.id(),
	}
	if seen, ok := d.s.member.Peer(one.ID); ok {
		m.Connected = seen.Connected
	}
	if trip, ok := d.s.member.RoundTrip(one.ID); ok {
		m.RoundTrip = trip.Microseconds()
	}
	if h == nil {
		return m
	}
	m.Report, m.Why = h.report, h.why
	if m.Report != nil {
		r := *h.report
		r.Points = metrics.PointsSince(h.points, since)
		m.Report = &r
	}
	return m
}

// idText is empty for None.
func idText(id raft.NodeID) string {
	if id == raft.None {
		return ""
	}
	return strconv.FormatUint(uint64(id), 10)
}

func parseID(text string) (raft.NodeID, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return raft.None, status.Errorf(codes.InvalidArgument, "%q is not the id of a member", text)
	}
	return raft.NodeID(id), nil
}

// heardOf asks all members, unless that was done just before.
func (d *dashboard) heardOf(ctx context.Context, all []member.Info) map[raft.NodeID]*heard {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) < reportAge {
		return d.reports
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime) // others want to know, too
	defer cancel()
	next := make(map[raft.NodeID]*heard, len(all))
	var asked sync.WaitGroup
	for _, one := range all {
		h := &heard{}
		if before := d.reports[one.ID]; before != nil {
			*h = *before
		}
		next[one.ID] = h
		asked.Go(func() { d.ask(ctx, one.ID, h) })
	}
	asked.Wait()
	d.at, d.reports = time.Now(), next
	return next
}

// ask asks one member.
func (d *dashboard) ask(ctx context.Context, id raft.NodeID, h *heard) {
	q := question{}
	if n := len(h.points); n > 0 {
		q.Since = h.points[n-1].UnixMilli
	}
	r, err := d.reportOf(ctx, id, q)
	if err != nil {
		h.silent(err.Error(), ctx.Err() != nil, time.Now())
		return
	}
	h.points = metrics.AddPoints(h.points, r.Points)
	r.Points = nil
	h.report, h.why, h.at = r, "", time.Now()
}

// silent notes why a member has not answered. late: it may have, a little later.
func (h *heard) silent(why string, late bool, now time.Time) {
	if h.why = why; !late || now.Sub(h.at) > reportKept {
		h.report = nil
	}
}

func (d *dashboard) reportOf(ctx context.Context, id raft.NodeID, q question) (*ui.Report, error) {
	if id == d.s.id() {
		return d.s.report(q), nil
	}
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if text, err = d.s.member.Ask(ctx, id, text); err != nil {
		return nil, err
	}
	r := new(ui.Report)
	return r, json.Unmarshal(text, r)
}

// Weigh implements ui.Cluster.
func (d *dashboard) Weigh(ctx context.Context, token string, c *ui.Change) (*ui.Outlook, error) {
	if err := d.s.native.Require(as(ctx, token), true); err != nil {
		return nil, err
	}
	who, err := d.who(c)
	if err != nil {
		return nil, err
	}
	if err := d.s.checkURLs(c.Peers, nil); err != nil {
		return nil, err
	}
	var o member.Outlook
	weigh := d.s.member.Weigh()
	switch c.Do {
	case "add":
		o, err = weigh.Add(ctx, member.NewMember{Name: c.Name, Peers: c.Peers, Learner: c.Learner, MaxLearners: d.s.cfg.MaxLearners})
	case "promote":
		o, err = weigh.Promote(ctx, who)
	case "remove":
		o, err = weigh.Remove(ctx, who)
	case "replace":
		o, err = weigh.Replace(ctx, who, c.Name)
	}
	if err != nil {
		return nil, memberStatus(err)
	}
	names := func(ids []raft.NodeID) (all []string) {
		for _, id := range ids {
			all = append(all, d.s.cfg.Cluster.NameOf(id))
		}
		return all
	}
	return &ui.Outlook{
		Member: d.s.cfg.Cluster.NameOf(who.ID), Before: names(o.Before), After: names(o.After), Silent: names(o.Silent),
		LeaderLeaves: c.Do == "remove" && o.Leader == who.ID,
	}, nil
}

// changeKinds are the changes of members by their names.
var changeKinds = map[string]api.MembersChange_Kind{
	"add": api.MembersChange_ADD, "promote": api.MembersChange_PROMOTE, "remove": api.MembersChange_REMOVE, "replace": api.MembersChange_REPLACE,
}

// who is the member that a change is about, and no member of an addition.
func (d *dashboard) who(c *ui.Change) (member.Who, error) {
	if _, ok := changeKinds[c.Do]; !ok {
		return member.Who{}, status.Errorf(codes.InvalidArgument, "there is no change %q of the members", c.Do)
	}
	if c.Do == "add" {
		if strings.TrimSpace(c.Name) == "" {
			return member.Who{}, status.Error(codes.InvalidArgument, "a new member needs a name")
		}
		return member.Who{}, nil
	}
	id, err := parseID(c.Member)
	return member.Who{ID: id}, err
}

// Change implements ui.Cluster.
func (d *dashboard) Change(ctx context.Context, token string, c *ui.Change) error {
	who, err := d.who(c)
	if err != nil {
		return err
	}
	_, err = d.s.native.ChangeMembers(as(ctx, token), &api.MembersChange{
		Kind: changeKinds[c.Do], NodeId: uint64(who.ID), NewName: c.Name, PeerUrls: c.Peers, Learner: c.Learner,
	})
	return err
}

// MoveLeader implements ui.Cluster. Any member can be asked.
func (d *dashboard) MoveLeader(ctx context.Context, token string, id string) error {
	if err := d.s.native.Require(as(ctx, token), true); err != nil {
		return err
	}
	to, err := parseID(id)
	if err == nil {
		err = d.s.member.MoveLeader(ctx, to)
	}
	if err != nil {
		return memberStatus(err)
	}
	return nil
}
