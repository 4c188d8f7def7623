package doctor

import (
	"fmt"
	"time"
)

// Certificate is what an endpoint has shown.
type Certificate struct {
	Endpoint string
	Err      error     // why there was none: the handshake failed
	Expires  time.Time // the first of what it has shown
	Named    error     // why it is not good for the host by which it was called; nil: it is
	Names    []string  // for which it is good
}

const (
	// Certificates are worth a word so long before they expire.
	expiresSoon  = 14 * 24 * time.Hour
	expiresLater = 30 * 24 * time.Hour
)

const whyExpiry = "from then on connections are refused; those that are up stay"

// expiries looks at the certificates that the servers use.
func (d *diagnosis) expiries() {
	const check = "certificates"
	first := time.Duration(0)
	known := false
	see := func(of, what string, at time.Time) {
		left := at.Sub(d.Now)
		if !known || left < first {
			first = left
		}
		known = true
		const do = "renew it; the files are read again while the server runs (docs/tls.md, Renewing certificates)"
		switch {
		case left <= 0:
			d.say(Problem, check, of, fmt.Sprintf("%s has expired, %s ago", what, ago(-left)), whyExpiry, do)
		case left < expiresSoon:
			d.say(Warning, check, of, fmt.Sprintf("%s expires in %s", what, ago(left)), whyExpiry, do)
		case left < expiresLater:
			d.say(Note, check, of, fmt.Sprintf("%s expires in %s", what, ago(left)), whyExpiry, do)
		}
	}
	told := map[string]bool{}
	for _, s := range d.answering() {
		for _, c := range s.Second.Certificates {
			if told[s.Endpoint] = true; c.Certificate != 0 {
				see(s.name(), "its certificate for the "+c.Side+" port", time.Unix(c.Certificate, 0))
			}
			if c.Authority != 0 {
				see(s.name(), "an authority that it trusts at the "+c.Side+" port", time.Unix(c.Authority, 0))
			}
			if c.Stale {
				d.say(Warning, check, s.name(), "its files for the "+c.Side+" port are not the ones in use: they do not fit together, or cannot be read",
					"a restart would fail, and the ones in use expire", "its log says what is wrong with them")
			}
		}
	}
	for _, c := range d.Certificates {
		if c.Err == nil && !told[c.Endpoint] && !c.Expires.IsZero() {
			see(c.Endpoint, "the certificate that it shows", c.Expires)
		}
	}
	if known {
		d.fine(check, "the first expires in "+ago(first))
	}
}

// names looks at certificates that are not good for the host by which clients call.
func (d *diagnosis) names() {
	for _, c := range d.Certificates {
		switch {
		case c.Err != nil:
			d.say(Warning, "names", c.Endpoint, "no TLS connection can be made: "+c.Err.Error(), "clients cannot, either", "is the address one with TLS? The server's log says more")
		case c.Named != nil:
			d.say(Problem, "names", c.Endpoint, fmt.Sprintf("its certificate is for %v, and not for this host", c.Names), "clients that call it by this host refuse it",
				"make one with this host as a subject alternative name, or use an endpoint that it names")
		}
	}
	if len(d.Certificates) > 0 {
		d.fine("names", "the certificates name the hosts by which the servers are called")
	}
}
