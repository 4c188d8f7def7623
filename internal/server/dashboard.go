package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
		Cluster: s.dashboard, Writes: s.cfg.UI == ChangeUI, Stopping: s.ctx.Done(),
		Etcd: gateway.New(gateway.Config{
			Methods: etcd.Methods, Bounds: s.cfg.etcdBounds(), Calls: s.calls, Origins: []string{}, Client: s.clientOf, Entrance: s.etcd,
		}),
	})
	mux := http.NewServeMux()
	mux.Handle("/ui", show)
	mux.Handle("/ui/", show)
	if others != nil {
		mux.Handle("/", others)
	}
	return mux
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
	if r := d.s.native.Replica(); r != nil {
		o.Auth = r.Access.Enabled()
		u, err := r.Access.Identify(ctx, token, "")
		if err != nil {
			return nil, status.Error(codes.Unauthenticated, err.Error())
		}
		o.User = u.Name
	}
	reports := d.heardOf(ctx, known.All)
	lead := reports[known.Leader]
	peers := d.s.peers(nil)
	if r := d.s.running.Load(); r != nil {
		peers = d.s.peers(r.Status().Peers)
	}
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
	slices.SortFunc(o.Members, func(a, b ui.Member) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) // n2 before n10
	})
	return o, nil
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
		i := len(h.points)
		for i > 0 && h.points[i-1].UnixMilli > since {
			i--
		}
		r.Points = h.points[i:]
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
			h.points = before.points
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
	if id == d.s.id() {
		h.report = d.s.report(q)
	} else {
		text, err := json.Marshal(q)
		if err == nil {
			text, err = d.s.member.Ask(ctx, id, text)
		}
		r := new(ui.Report)
		if err == nil {
			err = json.Unmarshal(text, r)
		}
		if err != nil {
			h.why = err.Error()
			return
		}
		h.report = r
	}
	points := append(h.points[:len(h.points):len(h.points)], h.report.Points...)
	h.points = points[max(0, len(points)-metrics.MaxPoints):]
	h.report.Points = nil
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
		o, err = weigh.Add(ctx, member.NewMember{Name: c.Name, Peers: c.Peers, Learner: c.Learner})
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
