package server

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"balsa.example/member"
)

// What a server was told, or found in its data directory, and cannot use: see package
// member, whose errors they are.
var (
	ErrConfig      = member.ErrConfig
	ErrInUse       = member.ErrInUse
	ErrForeign     = member.ErrForeign
	ErrDamaged     = member.ErrDamaged
	ErrNewerFormat = member.ErrNewerFormat
	ErrOlderFormat = member.ErrOlderFormat
	ErrNotAdmitted = member.ErrNotAdmitted
)

// Cluster is a member.Cluster whose addresses are URLs: http means plain TCP, https TLS.
type Cluster struct {
	*member.Cluster
	urls map[string][]*url.URL // by name
}

// ParseCluster reads a membership of the form
//
//	n1=http://10.0.0.1:23800,n2=http://10.0.0.2:23800,n3=http://10.0.0.3:23800
//
// A name that comes twice has several addresses. The token tells clusters apart that have the same
// names.
func ParseCluster(token, members string) (*Cluster, error) {
	c := &Cluster{urls: map[string][]*url.URL{}}
	addresses := map[string]string{}
	for part := range strings.SplitSeq(members, ",") {
		name, u, err := parseMember(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%w: initial cluster: %w", ErrConfig, err)
		}
		c.urls[name] = append(c.urls[name], u)
	}
	for name, urls := range c.urls {
		addresses[name] = hosts(urls)
	}
	var err error
	if c.Cluster, err = member.NewCluster(token, addresses); err != nil {
		return nil, fmt.Errorf("%w: initial cluster: %w", ErrConfig, unconfigured(err))
	}
	return c, nil
}

func parseMember(part string) (name string, u *url.URL, err error) {
	name, raw, ok := strings.Cut(part, "=")
	if !ok || name == "" {
		return "", nil, fmt.Errorf("%q is not of the form name=http://host:port", part)
	}
	if u, err = ParseURL(raw); err == nil {
		err = CheckDialable(u)
	}
	if err != nil {
		return "", nil, fmt.Errorf("member %s: %w", name, unconfigured(err))
	}
	return name, u, nil
}

// unconfigured takes ErrConfig's text off the front of an error that gets it anew.
func unconfigured(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), ErrConfig.Error()+": "))
}

// hosts are the hosts and ports of URLs, with commas between them.
func hosts(urls []*url.URL) string {
	var all []string
	for _, u := range urls {
		all = append(all, u.Host)
	}
	return strings.Join(all, ",")
}

// PeerURLs are the addresses of a member of that name; nil if there is none.
func (c *Cluster) PeerURLs(name string) []*url.URL { return c.urls[name] }

// String gives the members in ParseCluster's form.
func (c *Cluster) String() string {
	var all []string
	for _, m := range c.Members {
		for _, u := range c.urls[m.Name] {
			all = append(all, m.Name+"="+u.String())
		}
	}
	return strings.Join(all, ",")
}
