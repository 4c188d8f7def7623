package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/certs/certstest"
)

// logs is a logger whose text can be read.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func files(d certstest.Dir) Files { return Files{Cert: d.Cert, Key: d.Key, CA: d.CA, Chained: true} }

// serial tells which certificate a Material holds.
func serial(m *Material) string { return m.Certificate.Leaf.SerialNumber.String() }

func serialOf(t *testing.T, pair certstest.Pair) string {
	t.Helper()
	all, err := parseCertificates(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return all[0].SerialNumber.String()
}

// Everything is replaced, also the authority, file by file in each order: what serves is
// the old set up to the last file, and then the new one.
func TestRenewalFileByFileInAnyOrder(t *testing.T) {
	oldCA, newCA := certstest.NewCA(t, "ca"), certstest.NewCA(t, "ca")
	first, second := oldCA.Issue(certstest.Leaf{CN: "first"}), newCA.Issue(certstest.Leaf{CN: "second"})
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			d := certstest.Write(t, first, oldCA.PEM)
			var log logs
			s, err := Open("peer", files(d), log.logger())
			if err != nil {
				t.Fatal(err)
			}
			steps := []struct {
				path string
				data []byte
			}{{d.Cert, second.Cert}, {d.Key, second.Key}, {d.CA, newCA.PEM}}
			for i, at := range order {
				d.Put(steps[at].path, steps[at].data[:len(steps[at].data)/2]) // being written
				if got := serial(s.Current()); got != serialOf(t, first) {
					t.Errorf("half of file %d: another certificate serves", at)
				}
				d.Put(steps[at].path, steps[at].data)
				m := s.Current()
				want := first
				if i == 2 {
					want = second
				}
				if serial(m) != serialOf(t, want) || s.Stale() != (i < 2) {
					t.Errorf("after %d files: certificate %s, stale %t", i+1, m.name(), s.Stale())
				}
				if err := m.checkChain(time.Now()); err != nil {
					t.Errorf("after %d files: %v", i+1, err)
				}
			}
			if !strings.Contains(log.String(), "TLS files: not usable") || !strings.Contains(log.String(), "renewed, and in use") {
				t.Errorf("logged %s", &log)
			}
		})
	}
}

func TestWhatIsNotTaken(t *testing.T) {
	ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
	good := ca.Issue(certstest.Leaf{CN: "good"})
	expired := ca.Issue(certstest.Leaf{CN: "n", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	early := ca.Issue(certstest.Leaf{CN: "n", NotBefore: time.Now().Add(time.Hour)})
	serverOnly := ca.Issue(certstest.Leaf{CN: "n", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	stranger := ca.Issue(certstest.Leaf{CN: "stranger"})
	for name, tc := range map[string]struct {
		pair certstest.Pair
		ca   []byte
		want string
	}{
		"key of another certificate": {certstest.Pair{Cert: early.Cert, Key: good.Key}, ca.PEM, "private key does not match"},
		"expired":                    {expired, ca.PEM, "has expired on"},
		"not valid yet":              {early, ca.PEM, "not valid before"},
		"another authority":          {other.Issue(certstest.Leaf{CN: "n"}), ca.PEM, "does not lead to"},
		"authority is gone":          {good, other.PEM, "does not lead to"},
		"empty authorities":          {good, nil, "no PEM certificate"},
		"authorities cut short":      {good, append(bytes.Clone(ca.PEM), other.PEM[:200]...), "damaged or cut short"},
		"an authority damaged":       {good, append(append(bytes.Clone(other.PEM[:200]), '\n'), ca.PEM...), "damaged or cut short"},
		"no certificate":             {certstest.Pair{Cert: good.Key, Key: good.Key}, ca.PEM, "no PEM certificate"},
		"no key":                     {certstest.Pair{Cert: good.Cert}, ca.PEM, "failed to find any PEM data in key"},
		"not for clients":            {serverOnly, ca.PEM, "not good for clients"},
		"not accepted":               {stranger, ca.PEM, "we do not know it"},
	} {
		t.Run(name, func(t *testing.T) {
			d := certstest.Write(t, good, ca.PEM)
			f := files(d)
			f.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
			f.Accept = func(c *x509.Certificate) error {
				if c.Subject.CommonName == "stranger" {
					return errors.New("we do not know it")
				}
				return nil
			}
			var log logs
			s, err := Open("peer", f, log.logger())
			if err != nil {
				t.Fatal(err)
			}
			d.Put(d.Cert, tc.pair.Cert)
			d.Put(d.Key, tc.pair.Key)
			d.Put(d.CA, tc.ca)
			if m := s.Current(); serial(m) != serialOf(t, good) || !s.Stale() || !strings.Contains(log.String(), tc.want) {
				t.Errorf("serves %s, stale %t, logged %s", m.name(), s.Stale(), &log)
			}
			os.Remove(d.Key)
			if m := s.Current(); serial(m) != serialOf(t, good) {
				t.Errorf("without a key file: %s", m.name())
			}
			d.Put(d.Cert, good.Cert)
			d.Put(d.Key, good.Key)
			d.Put(d.CA, ca.PEM)
			s.Current()
			if s.Stale() || !strings.Contains(log.String(), "as they were when they were good") {
				t.Errorf("with the first files again: stale %t, logged %s", s.Stale(), &log)
			}
		})
	}
}

// An authority is replaced the way that breaks nothing: old and new together for a while.
func TestAuthoritiesRotateThroughABundle(t *testing.T) {
	oldCA, newCA := certstest.NewCA(t, "old"), certstest.NewCA(t, "new")
	first, second := oldCA.Issue(certstest.Leaf{CN: "n"}), newCA.Issue(certstest.Leaf{CN: "n"})
	d := certstest.Write(t, first, oldCA.PEM)
	var log logs
	s, err := Open("peer", files(d), log.logger())
	if err != nil {
		t.Fatal(err)
	}
	trusts := func(pair certstest.Pair) bool {
		cert, err := files(d).parsePair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		m := Material{Certificate: cert, Authorities: s.Current().Authorities}
		return m.checkChain(time.Now()) == nil
	}
	d.Put(d.CA, append(bytes.Clone(oldCA.PEM), newCA.PEM...))
	if !trusts(first) || !trusts(second) {
		t.Errorf("with both: %s", &log)
	}
	d.Put(d.Cert, second.Cert)
	d.Put(d.Key, second.Key)
	d.Put(d.CA, newCA.PEM)
	if trusts(first) || !trusts(second) || serial(s.Current()) != serialOf(t, second) {
		t.Errorf("afterwards: %s", &log)
	}
}

func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, "ca")
		d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n"}), ca.PEM)
		var log logs
		s, err := Open("client", files(d), log.logger())
		if err != nil {
			t.Fatal(err)
		}
		d.Put(d.Cert, ca.Issue(certstest.Leaf{CN: "m"}).Cert)
		for range 600 { // an hour, looked at every 6 s
			s.Current()
			time.Sleep(6 * time.Second)
		}
		if n := strings.Count(log.String(), "TLS files: not usable"); n < 5 || n > 7 {
			t.Errorf("%d lines in an hour: %s", n, &log)
		}
	})
}

// A disk that hangs prevents no connection.
func TestFilesThatCannotBeReadNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, "ca")
		d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n"}), ca.PEM)
		var log logs
		s, err := Open("client", files(d), log.logger())
		if err != nil {
			t.Fatal(err)
		}
		hang := make(chan struct{})
		s.read = func([]string) ([][]byte, error) {
			<-hang
			return nil, errors.New("input/output error")
		}
		start := time.Now()
		for range 10 {
			if s.Current() == nil {
				t.Error("nothing serves")
			}
		}
		if took := time.Since(start); took > readTimeout { // together: a handshake begins with little more time
			t.Errorf("took %s", took)
		}
		close(hang)
		synctest.Wait()
		if !s.Stale() || !strings.Contains(log.String(), "input/output error") {
			t.Errorf("stale %t, logged %s", s.Stale(), &log)
		}
	})
}

func TestExpiryIsWarnedOfAhead(t *testing.T) {
	ca := certstest.NewCA(t, "ca") // expires after 100 days
	start := time.Now()
	d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n", NotAfter: start.AddDate(0, 0, 30)}), ca.PEM)
	var log logs
	s, err := Open("client", files(d), log.logger())
	if err != nil {
		t.Fatal(err)
	}
	// hours looks at the files every ten minutes and returns what was logged.
	hours := func(from, to int) string {
		before := len(log.String())
		for at := time.Duration(from) * time.Hour; at < time.Duration(to)*time.Hour; at += 10 * time.Minute {
			s.refresh(start.Add(at))
		}
		return log.String()[before:]
	}
	if text := hours(0, 15*24); text != "" {
		t.Errorf("in 15 days: %s", text)
	}
	if text := hours(15*24, 25*24); strings.Count(text, "expires soon") != 9 {
		t.Errorf("in the 10 days after that: %s", text)
	}
	if text := hours(30*24, 30*24+5); strings.Count(text, "level=ERROR msg=\"a TLS certificate has expired") != 5 {
		t.Errorf("after its end: %s", text)
	}
	next := ca.Issue(certstest.Leaf{CN: "n"}) // lasts as long as the authority
	d.Put(d.Cert, next.Cert)
	d.Put(d.Key, next.Key)
	if text := hours(30*24+5, 31*24); strings.Contains(text, "expire") || !strings.Contains(text, "renewed, and in use") {
		t.Errorf("after the renewal: %s", text)
	}
	if e := s.Expiry(); e.Certificate.Sub(start) < 90*24*time.Hour || e.Authorities.IsZero() {
		t.Errorf("expires %+v", e)
	}
}

func TestWatchTellsWithoutAHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, "ca")
		d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n"}), ca.PEM)
		var log logs
		s, err := Open("client", files(d), log.logger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Watch(ctx)
		d.Put(d.CA, certstest.NewCA(t, "another").PEM)
		time.Sleep(2 * pollEvery)
		if !s.Stale() || !strings.Contains(log.String(), "TLS files: not usable") {
			t.Errorf("stale %t, logged %s", s.Stale(), &log)
		}
	})
}

func TestWarningsBeginBeforeTheEnd(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for life, ahead := range map[time.Duration]time.Duration{
		365 * 24 * time.Hour: 14 * 24 * time.Hour, 24 * time.Hour: 14 * 24 * time.Hour, time.Hour: 30 * time.Minute,
	} {
		c := &x509.Certificate{NotBefore: at, NotAfter: at.Add(life)}
		if got := c.NotAfter.Sub(warnFrom(c)); got != ahead {
			t.Errorf("life of %s: warned %s ahead, want %s", life, got, ahead)
		}
	}
}

// At the start there is no good set to go on with.
func TestOpenNamesWhatDoesNotFit(t *testing.T) {
	ca := certstest.NewCA(t, "ca")
	d := certstest.Write(t, certstest.Pair{Cert: ca.Issue(certstest.Leaf{}).Cert, Key: ca.Issue(certstest.Leaf{}).Key}, ca.PEM)
	_, err := Open("client", files(d), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), d.Cert) || !strings.Contains(err.Error(), d.Key) {
		t.Errorf("got %v", err)
	}
}
