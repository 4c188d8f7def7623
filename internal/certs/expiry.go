package certs

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"
)

// Warnings begin warnAhead before a certificate expires. A certificate that is valid for less
// than a day is renewed automatically all the time: for it they begin when half of that time is
// over. They are repeated every remindEvery, and on the last day and later every remindLate.
const (
	warnAhead   = 14 * 24 * time.Hour
	remindEvery = 24 * time.Hour
	remindLate  = time.Hour
)

// notice is the time of the last warning that a certificate expires.
type notice struct{ at time.Time }

// Expiry is when the first of several certificates expires; zero if none ever does.
type Expiry struct {
	// Certificate is of the own certificate and the intermediate ones, Authorities of the
	// trusted authorities.
	Certificate, Authorities time.Time
}

// Expiry returns when the certificates in use expire.
func (s *Source) Expiry() Expiry {
	m := s.good.Load()
	var e Expiry
	if first := earliest(m.chain()); first != nil && first.NotAfter != noExpiry {
		e.Certificate = first.NotAfter
	}
	if first := earliest(m.authorities); first != nil && first.NotAfter != noExpiry {
		e.Authorities = first.NotAfter
	}
	return e
}

// chain returns the own certificate and the intermediate ones.
func (m *Material) chain() []*x509.Certificate {
	if m.Certificate == nil {
		return nil
	}
	chain := []*x509.Certificate{m.Certificate.Leaf}
	for _, der := range m.Certificate.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, cert)
		}
	}
	return chain
}

// earliest returns the certificate that expires first, nil if there is none.
func earliest(certs []*x509.Certificate) *x509.Certificate {
	var first *x509.Certificate
	for _, c := range certs {
		if first == nil || c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	return first
}

// warnOfExpiry logs from time to time which certificates expire soon or have expired.
func (s *Source) warnOfExpiry(m *Material, now time.Time) {
	level, wait := slog.LevelWarn, remindEvery
	var due []*x509.Certificate
	for _, c := range []*x509.Certificate{earliest(m.chain()), earliest(m.authorities)} {
		if c == nil || now.Before(warnFrom(c)) {
			continue
		}
		due = append(due, c)
		if now.Add(24 * time.Hour).After(c.NotAfter) {
			wait = remindLate
		}
		if now.After(c.NotAfter) {
			level = slog.LevelError
		}
	}
	if len(due) == 0 || !s.expires.at.IsZero() && now.Sub(s.expires.at) < wait {
		return
	}
	s.expires.at = now
	for _, c := range due {
		what := "a TLS certificate expires soon: renew it"
		if now.After(c.NotAfter) {
			what = "a TLS certificate has expired: others refuse it"
		}
		s.log.Log(context.Background(), level, what, "side", s.side, "certificate", Describe(c), "authority", c.IsCA,
			"expires", stamp(c.NotAfter), "left", c.NotAfter.Sub(now).Round(time.Second))
	}
}

// warnFrom returns when the warnings about a certificate begin.
func warnFrom(c *x509.Certificate) time.Time {
	if life := c.NotAfter.Sub(c.NotBefore); life < 24*time.Hour {
		return c.NotAfter.Add(-life / 2)
	}
	return c.NotAfter.Add(-warnAhead)
}
