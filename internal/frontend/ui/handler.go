package ui

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/metrics"
)

// Cluster is what the dashboard shows and changes, by way of the member that it is part of. A token, which
// Login has given, says who asks; empty: nobody. Errors are those of package status.
type Cluster interface {
	Login(ctx context.Context, user, password string) (token string, err error)
	// Overview tells what is known of all members, but for Notes and Writes. Points are those that end
	// after since, by the ids of members.
	Overview(ctx context.Context, token string, since map[string]int64) (*Overview, error)
	Weigh(ctx context.Context, token string, c *Change) (*Outlook, error)
	Change(ctx context.Context, token string, c *Change) error
	MoveLeader(ctx context.Context, token string, id string) error
	// MayBackup is nil if who asks may have a backup. Backup writes one to what begin returns. An error before begin is called can be told to who asks.
	MayBackup(ctx context.Context, token string) error
	Backup(ctx context.Context, token string, begin func(name string) io.Writer) error
}

// Config says what to serve. All is required.
type Config struct {
	Cluster Cluster
	// Etcd answers the methods of the etcd API as JSON, below /v3/.
	Etcd http.Handler
	// Named tells whether a request names this cluster by a name that its members have, or came by TLS,
	// whose certificate proves the name.
	Named func(*http.Request) bool
	// Writes lets the dashboard change things, if those who ask may.
	Writes bool
	// Stopping is closed when the server stops.
	Stopping <-chan struct{}
}

const (
	prefix = "/ui/"
	// maxLookers bounds the streams of overviews.
	maxLookers = 64
	// overviewEvery is how often an overview is sent.
	overviewEvery = time.Second
	// maxRequest bounds a request of the dashboard's own, in bytes. Requests of the etcd API have the
	// gateway's bounds.
	maxRequest = 64 << 10
	// changeTime bounds what waits for a leader.
	changeTime = 15 * time.Second
)

// time0 says that a file has no time: it is known by its tag.
var time0 time.Time

// call is one thing that the page may ask for.
type call struct {
	changes bool // only where that is allowed
	serve   func(*handler, http.ResponseWriter, *http.Request)
}

// calls are all that the page may ask for with POST, below /ui/api/. Those of v3 go to the etcd API.
var calls = map[string]call{
	"login":               {false, (*handler).login},
	"backup":              {false, (*handler).ticket},
	"weigh":               {false, (*handler).weigh},
	"members":             {true, (*handler).change},
	"leader":              {true, (*handler).moveLeader},
	"v3/kv/range":         {false, (*handler).etcd},
	"v3/watch":            {false, (*handler).etcd},
	"v3/lease/leases":     {false, (*handler).etcd},
	"v3/lease/timetolive": {false, (*handler).etcd},
	"v3/auth/user/list":   {false, (*handler).etcd},
	"v3/auth/user/get":    {false, (*handler).etcd},
	"v3/auth/role/list":   {false, (*handler).etcd},
	"v3/auth/role/get":    {false, (*handler).etcd},
	"v3/kv/txn":           {true, (*handler).etcd},
	"v3/lease/revoke":     {true, (*handler).etcd},
}

type handler struct {
	cfg     Config
	lookers chan struct{} // a token for each stream of overviews
	tickets tickets
}

// New returns what answers /ui and all below it.
func New(cfg Config) http.Handler {
	h := &handler{cfg: cfg, lookers: make(chan struct{}, maxLookers)}
	mux := http.NewServeMux()
	mux.Handle("/ui", http.RedirectHandler(prefix, http.StatusPermanentRedirect))
	mux.HandleFunc(prefix, servePage)
	mux.Handle(prefix+"api/", ownPage(http.HandlerFunc(h.api)))
	return shielded(mux)
}

func (h *handler) api(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, prefix+"api/")
	if r.Method == http.MethodGet {
		switch id, isBackup := strings.CutPrefix(path, "backup/"); {
		case path == "overview":
			h.overview(w, r)
		case isBackup:
			h.backup(w, r, id)
		default:
			http.NotFound(w, r)
		}
		return
	}
	c, ok := calls[path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case c.changes && !h.cfg.Writes:
		refuse(w, http.StatusForbidden, "this dashboard only shows: start the server with --ui-writes to let it change things")
	case c.changes && !h.cfg.Named(r):
		refuse(w, http.StatusForbidden, "no member of this cluster is known as "+r.Host+": open the dashboard by an address, or by https")
	default:
		c.serve(h, w, r)
	}
}

// tokenOf is what says who asks. There are no cookies: they would be sent for other pages, too.
func tokenOf(r *http.Request) string { return r.Header.Get("Authorization") }

// read reads a request, or answers that it cannot be read.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	if err := d.Decode(into); err != nil {
		fail(w, status.Errorf(codes.InvalidArgument, "the request cannot be read: %v", err))
		return false
	}
	return true
}

// done answers a request that has no result.
func done(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func (h *handler) etcd(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	inner := r.Clone(r.Context())
	inner.URL.Path = strings.TrimPrefix(r.URL.Path, prefix+"api")
	h.cfg.Etcd.ServeHTTP(w, inner)
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	var who struct{ User, Password string }
	if !read(w, r, &who) {
		return
	}
	token, err := h.cfg.Cluster.Login(r.Context(), who.User, who.Password)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"token": token})
}

func (h *handler) weigh(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !read(w, r, &c) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	o, err := h.cfg.Cluster.Weigh(ctx, tokenOf(r), &c)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string][]string{"will": c.sentences(o)})
}

func (h *handler) change(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !read(w, r, &c) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	done(w, h.cfg.Cluster.Change(ctx, tokenOf(r), &c))
}

func (h *handler) moveLeader(w http.ResponseWriter, r *http.Request) {
	var to struct{ Member string }
	if !read(w, r, &to) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	done(w, h.cfg.Cluster.MoveLeader(ctx, tokenOf(r), to.Member))
}

// overview sends overviews until the client goes, or may not look any more.
func (h *handler) overview(w http.ResponseWriter, r *http.Request) {
	select {
	case h.lookers <- struct{}{}:
		defer func() { <-h.lookers }()
	default:
		fail(w, status.Errorf(codes.ResourceExhausted, "%d dashboards look at this server already", maxLookers))
		return
	}
	tick := time.NewTicker(overviewEvery)
	defer tick.Stop()
	since := map[string]int64{}
	for began := false; ; began = true {
		o, err := h.cfg.Cluster.Overview(r.Context(), tokenOf(r), since)
		switch {
		case err != nil && !began:
			fail(w, err)
			return
		case err != nil:
			send(w, "failure", failure{status.Code(err), status.Convert(err).Message()})
			return
		case !began:
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-store")
		}
		o.Writes, o.Notes = h.cfg.Writes, notes(o)
		if send(w, "overview", o) != nil {
			return
		}
		for _, m := range o.Members {
			if m.Report != nil && len(m.Report.Points) > 0 {
				since[m.ID] = newest(m.Report.Points)
			}
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-h.cfg.Stopping:
			return
		}
	}
}

func newest(points []metrics.Point) int64 { return points[len(points)-1].UnixMilli }

// send sends one event.
func send(w http.ResponseWriter, kind string, v any) error {
	data, err := json.Marshal(v) // has no line breaks
	if err == nil {
		_, err = w.Write([]byte("event: " + kind + "\ndata: " + string(data) + "\n\n"))
	}
	return errors.Join(err, http.NewResponseController(w).Flush())
}

// Calls lists what the page may ask for with POST, below /ui/api/.
func Calls() []string { return slices.Sorted(maps.Keys(calls)) }
