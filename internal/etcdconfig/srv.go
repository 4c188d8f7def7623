package etcdconfig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"balsa.example/internal/datadir"
	"balsa.example/vfs"
)

// Resolver asks name servers. A *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
	LookupHost(ctx context.Context, host string) (addrs []string, err error)
}

// discover asks for the SRV records that name the members, and returns this one's name and
// all of them, as --initial-cluster has them. A record has no name of a member, so members are called
// by their host and port, which are the same in the eyes of all. This one is that whose address is
// among those that it advertises.
func (o *Options) discover(ctx context.Context, dns Resolver, advertised []*url.URL) (self, cluster string, err error) {
	suffix := ""
	if o.discoveryName != "" {
		suffix = "-" + o.discoveryName
	}
	var members []string
	var errs []error
	for _, kind := range []struct{ service, scheme string }{{"etcd-server-ssl", "https"}, {"etcd-server", "http"}} {
		_, records, err := dns.LookupSRV(ctx, kind.service+suffix, "tcp", o.discoverySRV)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, record := range records {
			host := net.JoinHostPort(strings.TrimSuffix(record.Target, "."), strconv.Itoa(int(record.Port)))
			u := &url.URL{Scheme: kind.scheme, Host: host}
			members = append(members, host+"="+u.String())
			same, err := sameAddress(ctx, dns, u, advertised)
			switch {
			case err != nil:
				errs = append(errs, err)
			case same:
				self = host
			}
		}
	}
	switch {
	case len(members) == 0:
		return "", "", usageError("--discovery-srv %s names no members: %w", o.discoverySRV, errors.Join(errs...))
	case self == "":
		return "", "", usageError("--discovery-srv %s names %s, and none of them is at --initial-advertise-peer-urls%s",
			o.discoverySRV, strings.Join(members, ","), because(errs))
	}
	slices.Sort(members)
	return self, strings.Join(slices.Compact(members), ","), nil
}

func because(errs []error) string {
	if len(errs) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%v)", errors.Join(errs...))
}

// sameAddress tells whether u leads where one of the others does.
func sameAddress(ctx context.Context, dns Resolver, u *url.URL, others []*url.URL) (bool, error) {
	here, err := dns.LookupHost(ctx, u.Hostname())
	if err != nil {
		return false, err
	}
	for _, other := range others {
		if other.Port() != u.Port() || other.Scheme != u.Scheme {
			continue
		}
		there, err := dns.LookupHost(ctx, other.Hostname())
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(here, func(address string) bool { return slices.Contains(there, address) }) {
			return true, nil
		}
	}
	return false, nil
}

// begunAs is what the member in a data directory is called, if its cluster has begun: then it needs no records to find the
// others. Discovered members are called by where they are; any other name is left out.
func begunAs(dir string) string {
	found, err := datadir.Inspect(vfs.OS, dir)
	if err != nil || found == nil || found.Identity.ClusterID == 0 {
		return ""
	}
	if _, _, err := net.SplitHostPort(found.Name); err != nil {
		return ""
	}
	return found.Name
}
