package ui

import (
	"crypto/rand"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxTickets bounds the downloads that may begin, and ticketTime the time for it.
	maxTickets = 16
	ticketTime = time.Minute
)

// tickets let a browser download without the header that says who asks: a ticket holds for one download,
// for a short time.
type tickets struct {
	mu  sync.Mutex
	all map[string]ticket
}

type ticket struct {
	token   string
	expires time.Time
}

// draw returns the id of a new ticket, false if there are too many.
func (t *tickets) draw(token string, now time.Time) (id string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, one := range t.all {
		if now.After(one.expires) {
			delete(t.all, id)
		}
	}
	if len(t.all) >= maxTickets {
		return "", false
	}
	if t.all == nil {
		t.all = map[string]ticket{}
	}
	id = rand.Text()
	t.all[id] = ticket{token, now.Add(ticketTime)}
	return id, true
}

// use takes a ticket back.
func (t *tickets) use(id string, now time.Time) (token string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.all[id]
	delete(t.all, id)
	return one.token, ok && now.Before(one.expires)
}

// ticket answers with where a backup can be downloaded.
func (h *handler) ticket(w http.ResponseWriter, r *http.Request) {
	if err := h.cfg.Cluster.MayBackup(r.Context(), tokenOf(r)); err != nil {
		fail(w, err)
		return
	}
	id, ok := h.tickets.draw(tokenOf(r), time.Now())
	if !ok {
		fail(w, status.Errorf(codes.ResourceExhausted, "%d downloads are about to begin already", maxTickets))
		return
	}
	answer(w, http.StatusOK, map[string]string{"path": prefix + "api/backup/" + id})
}

// backup sends a backup. One that fails midway ends the connection, so that the browser says so.
func (h *handler) backup(w http.ResponseWriter, r *http.Request, id string) {
	token, ok := h.tickets.use(id, time.Now())
	if !ok {
		fail(w, status.Error(codes.NotFound, "this download has been made, or waited for too long: begin it again"))
		return
	}
	began := false
	err := h.cfg.Cluster.Backup(r.Context(), token, func(name string) io.Writer {
		began = true
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		w.Header().Set("Cache-Control", "no-store")
		return w
	})
	switch {
	case err != nil && began:
		panic(http.ErrAbortHandler)
	case err != nil:
		fail(w, err)
	}
}
