package prometheus

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// TestEachAlertFires provokes all alerts, and none fires while all is well.
func TestEachAlertFires(t *testing.T) {
	c := start(t, 3, 365*24*time.Hour)
	well := busy(t, c)
	healthy := c.scrape(job)
	p := provoked{t: t, well: well, names: map[string]bool{}}
	p.nothing(healthy)
	for _, alert := range slices.Sorted(maps.Keys(changes)) {
		p.byChange(alert, healthy)
	}
	p.targetsLost(healthy, c.servers[1])
	p.learners(healthy, c.servers)
	p.silent("BalsaPeerUnreachable", healthy.down(c.servers[1]))
	p.backupAgo(healthy)
	c.provokeMembers(&p)
	c.provokeQuota(&p)
	c.provokeAlarm(&p)
	c.provokeLeaders(&p)
	provokeTLS(&p)
	for _, a := range alerts(t) {
		if !p.names[a.Alert] {
			t.Errorf("nothing has provoked %s", a.Alert)
		}
	}
}

// provoked says which alerts have fired, each from a time when all was well.
type provoked struct {
	t     testing.TB
	well  *timeline
	names map[string]bool
}

// nothing fires for an hour and more in which the servers go on to say the same.
func (p *provoked) nothing(healthy scraped) {
	p.t.Helper()
	f := watch(p.well.fork())
	for range 10 {
		for range 13 {
			f.tl.add(healthy)
		}
		for name := range f.look() {
			p.t.Errorf("%s fires, and nothing is wrong", name)
		}
	}
}

// fires wants an alert to fire when what is scraped lasts, for as long as the alert says and not before.
func (p *provoked) fires(name string, next func(i int) scraped) {
	p.t.Helper()
	f := watch(p.well.fork()).only(name)
	lasts := time.Duration(f.alerts[0].For)
	fired := false
	for i := 0; !fired && time.Duration(i)*every <= lasts+15*time.Minute; i++ {
		f.tl.add(next(i))
		fired = f.look()[name]
		if fired && time.Duration(i)*every < lasts {
			p.t.Errorf("%s fires after %s, which should last for %s", name, time.Duration(i)*every, lasts)
		}
	}
	if !fired {
		p.t.Errorf("%s does not fire", name)
	}
	p.names[name] = true
}

// lasts wants an alert to fire for hours, as long as what is scraped does.
func (p *provoked) lasts(name string, s scraped) {
	p.t.Helper()
	f := watch(p.well.fork()).only(name)
	for range int(3 * time.Hour / every) {
		f.tl.add(s)
	}
	f.look()
	for range int(time.Duration(f.alerts[0].For) / every) {
		f.tl.add(s)
		if f.look()[name] {
			return
		}
	}
	p.t.Errorf("%s does not fire any more after three hours", name)
}

// lasting is the same scrape again and again.
func lasting(s scraped) func(int) scraped { return func(int) scraped { return s } }

// silent wants an alert not to fire for ten minutes and as long as it says.
func (p *provoked) silent(name string, s scraped) {
	p.t.Helper()
	f := watch(p.well.fork()).only(name)
	for range int((time.Duration(f.alerts[0].For) + 10*time.Minute) / every) {
		f.tl.add(s)
		if f.look()[name] {
			p.t.Errorf("%s fires", name)
			return
		}
	}
}

// change is one to the values of a metric, where a label has a value if it is named, in the i-th scrape.
type change struct {
	metric, label, value string
	to                   func(v float64, i int) float64
}

func is(n float64) func(float64, int) float64 { return func(float64, int) float64 { return n } }

func grows(by float64) func(float64, int) float64 {
	return func(v float64, i int) float64 { return v + by*float64(i+1) }
}

func plus(n float64) func(float64, int) float64 {
	return func(v float64, _ int) float64 { return v + n }
}

const mib = 1 << 20

// changes are what servers would say if something were wrong that a test cannot do to them.
var changes = map[string][]change{
	"BalsaPeerUnreachable": {{"balsa_peer_connected", "peer", "n2", is(0)}},
	"BalsaMemberRestarts":  {{"process_start_time_seconds", "", "", grows(20)}},
	"BalsaPeerSlow":        {{"balsa_peer_round_trip_seconds_bucket", "le", "+Inf", grows(30)}},
	"BalsaMemberLags":      {{"balsa_server_commit_index", "", "", plus(200_000)}},
	"BalsaMemberShutOut":   {{"balsa_peer_diverged", "peer", "n3", is(1)}},
	"BalsaDiskSlow":        {{"balsa_wal_fsync_duration_seconds_bucket", "le", "+Inf", grows(10)}},
	"BalsaDiskHangs":       {{"balsa_wal_wait_seconds", "", "", is(9)}},
	"BalsaDiskNearlyFull":  {{"balsa_disk_available_bytes", "", "", is(900 * mib)}},
	"BalsaDiskFillsUp": {{"balsa_disk_available_bytes", "", "", func(v float64, i int) float64 { // full after 50 minutes
		return v * max(0, 1-0.01*float64(i))
	}}},
	"BalsaDiskFull":              {{"balsa_disk_available_bytes", "", "", is(95 * mib)}},
	"BalsaDiskForgets":           {{"balsa_store_repaired_runs_total", "", "", grows(1)}},
	"BalsaIndexNearLimit":        {{"balsa_store_index_bytes", "", "", is(85)}, {"balsa_store_index_limit_bytes", "", "", is(100)}},
	"BalsaRequestsFail":          {{"balsa_requests_failed_total", "reason", "unavailable", grows(30)}},
	"BalsaOverload":              {{"balsa_requests_failed_total", "reason", "bound", grows(60)}},
	"BalsaRequestsSlow":          {{"balsa_request_duration_seconds_bucket", "le", "+Inf", grows(10)}},
	"BalsaClockOff":              {{"balsa_server_time_seconds", "", "", plus(7)}},
	"BalsaWorkFails":             {{"balsa_work_failures_total", "work", "checkpoint", grows(1)}},
	"BalsaOpenFiles":             {{"process_open_fds", "", "", is(85)}, {"process_max_fds", "", "", is(100)}},
	"BalsaCertificateFilesStale": {{"balsa_tls_files_stale", "side", "client", is(1)}},
}

// byChange provokes an alert by what the servers say.
func (p *provoked) byChange(alert string, healthy scraped) {
	p.t.Helper()
	p.fires(alert, func(i int) scraped {
		next := maps.Clone(healthy)
		for _, c := range changes[alert] {
			found := false
			for key, r := range next {
				if r.name() == c.metric && (c.label == "" || r.labels.Get(c.label) == c.value) {
					found = true
					next[key] = r.with(c.to(r.v, i))
				}
			}
			if !found {
				p.t.Fatalf("servers have no %s{%s=%q}", c.metric, c.label, c.value)
			}
		}
		return next
	})
}

// targetsLost: Prometheus does not look for a server, or for any, or for any of one cluster of two.
func (p *provoked) targetsLost(healthy scraped, lost *server) {
	p.fires("BalsaMemberNotScraped", lasting(healthy.without(lost)))
	p.fires("BalsaTargetsAbsent", lasting(scraped{}))
	other := scraped{}
	for _, r := range healthy {
		other.add(r.labels, r.labels.Get("instance"), "balsa-other", r.v)
	}
	p.fires("BalsaTargetsAbsent", lasting(other))
}

// without is what the other targets said.
func (s scraped) without(one *server) scraped {
	rest := maps.Clone(s)
	maps.DeleteFunc(rest, func(_ string, r reading) bool { return r.labels.Get("instance") == one.metrics })
	return rest
}

// down is a scrape in which a server does not answer: of it there is only Prometheus' word for that.
func (s scraped) down(one *server) scraped {
	rest := s.without(one)
	rest.add(labels.FromStrings("__name__", "up"), one.metrics, job, 0)
	return rest
}

// learners: two of five members are learners, which are up when two of the three voters are not.
func (p *provoked) learners(healthy scraped, voters []*server) {
	five := maps.Clone(healthy)
	for _, name := range []string{"learner-1", "learner-2"} {
		for _, r := range healthy {
			if r.labels.Get("instance") == voters[0].metrics {
				if r.name() == "etcd_server_is_learner" {
					r = r.with(1)
				}
				five.add(r.labels, name, job, r.v)
			}
		}
	}
	p.silent("BalsaInsufficientMembers", five.down(voters[1]))
	p.fires("BalsaInsufficientMembers", lasting(five.down(voters[1]).down(voters[2])))
	p.fires("BalsaInsufficientMembers", lasting(five.down(voters[0]).down(voters[1]).down(voters[2])))
}

// backupAgo: the last backup was made two days ago, and the servers have started since.
func (p *provoked) backupAgo(healthy scraped) {
	old, restarted := maps.Clone(healthy), maps.Clone(healthy)
	for key, r := range healthy {
		if r.name() == "balsa_work_last_success_timestamp_seconds" && r.labels.Get("work") == "backup" {
			if restarted[key] = r.with(0); r.v != 0 {
				old[key] = r.with(r.v - 48*3600)
			}
		}
	}
	p.silent("BalsaBackupOld", restarted) // Prometheus remembers the one that was made
	late := *p
	late.well = begin(p.t) // which knows of no later one
	late.fires("BalsaBackupOld", lasting(old))
}

// provokeMembers kills one server, another, and the last.
func (c *cluster) provokeMembers(p *provoked) {
	leader := c.leader()
	var others []*server
	for _, s := range c.servers {
		if s != leader {
			others = append(others, s)
		}
	}
	others[0].kill()
	p.fires("BalsaMemberDown", lasting(c.scrape(job)))
	p.silent("BalsaInsufficientMembers", c.scrape(job))
	p.silent("BalsaNoLeader", c.scrape(job))
	others[1].kill()
	c.eventually("the last server still knows a leader", func() bool { return c.scrape(job).sum("balsa_server_has_leader") == 0 })
	p.fires("BalsaInsufficientMembers", lasting(c.scrape(job)))
	p.fires("BalsaNoLeader", lasting(c.scrape(job)))
	leader.kill()
	p.fires("BalsaInsufficientMembers", lasting(c.scrape(job)))
	p.lasts("BalsaInsufficientMembers", c.scrape(job))
	p.lasts("BalsaMemberDown", c.scrape(job))
	for _, s := range c.servers {
		c.run(s)
	}
	for _, s := range c.servers {
		c.ready(s)
	}
	p.silent("BalsaMemberDown", c.scrape(job))
	p.silent("BalsaAlarm", c.scrape(job))
}

// sum adds the values of all series of a metric.
func (s scraped) sum(name string) (total float64) {
	for _, r := range s {
		if r.name() == name {
			total += r.v
		}
	}
	return total
}

// leader is the server that leads.
func (c *cluster) leader() (found *server) {
	c.t.Helper()
	c.eventually("nobody leads", func() bool {
		for _, r := range c.scrape(job) {
			if r.name() == "balsa_server_is_leader" && r.v == 1 {
				i := slices.IndexFunc(c.servers, func(s *server) bool { return s.metrics == r.labels.Get("instance") })
				found = c.servers[i]
				return true
			}
		}
		return false
	})
	return found
}

// provokeQuota puts keys until the quota refuses one.
func (c *cluster) provokeQuota(p *provoked) {
	value := `,"value":"` + base64.StdEncoding.EncodeToString(make([]byte, 1<<19)) + `"}`
	code := http.StatusOK
	for i := 0; code == http.StatusOK; i++ {
		if i > 2*quota>>19 {
			c.t.Fatal("the quota refuses nothing")
		}
		key := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "fill/%d", i))
		code = c.etcd(c.servers[0], "kv/put", `{"key":"`+key+`"`+value)
	}
	if code != http.StatusTooManyRequests {
		c.t.Fatalf("a put is refused with status %d", code)
	}
	var full scraped
	c.eventually("no server has an alarm, though the quota refuses puts", func() bool {
		full = c.scrape(job)
		return full.sum("balsa_server_alarm") == 3
	})
	p.fires("BalsaAlarm", lasting(full))
	for key, r := range full { // without the alarm it is near
		if r.name() == "balsa_server_alarm" {
			full[key] = r.with(0)
		}
	}
	p.fires("BalsaQuotaNear", lasting(full))
	c.do("del", "--prefix", "fill/")
	c.eventually("the alarm of the quota stays", func() bool { return c.scrape(job).sum("balsa_server_alarm") == 0 })
}

// provokeAlarm raises an alarm as a client of etcd can.
func (c *cluster) provokeAlarm(p *provoked) {
	for _, do := range []struct {
		action string
		raised float64 // at so many servers
	}{{"ACTIVATE", 3}, {"DEACTIVATE", 0}} {
		if code := c.etcd(c.servers[0], "maintenance/alarm", `{"action":"`+do.action+`","alarm":"CORRUPT"}`); code != http.StatusOK {
			c.t.Fatalf("%s an alarm: status %d", do.action, code)
		}
		var now scraped
		c.eventually("the alarm is not what it should be after "+do.action, func() bool {
			now = c.scrape(job)
			return now.sum("balsa_server_alarm") == do.raised
		})
		if do.raised > 0 {
			p.fires("BalsaAlarm", lasting(now))
		}
	}
}

// provokeLeaders lets one server after the other lead.
func (c *cluster) provokeLeaders(p *provoked) {
	var scrapes []scraped
	for i := range 6 {
		if next := c.servers[i%3]; next != c.leader() {
			c.do("move-leader", next.name)
		}
		scrapes = append(scrapes, c.scrape(job))
	}
	p.fires("BalsaLeaderChanges", func(i int) scraped { return scrapes[min(i, len(scrapes)-1)] })
}

// provokeTLS runs a server whose certificate ends tomorrow, and that strangers connect to.
func provokeTLS(p *provoked) {
	c := start(p.t, 1, 24*time.Hour)
	p.well = begin(p.t)
	tomorrow := c.scrape(job)
	p.fires("BalsaCertificateExpires", lasting(tomorrow))
	p.fires("BalsaCertificateExpiresSoon", lasting(tomorrow))
	p.fires("BalsaBackupOld", lasting(tomorrow)) // none was ever made
	var scrapes []scraped
	for range 6 {
		for range 20 {
			conn, err := net.Dial("tcp", c.servers[0].clients)
			if err != nil {
				p.t.Fatal(err)
			}
			conn.Write([]byte("this is no handshake\n"))
			conn.Close()
		}
		before := tomorrow
		if len(scrapes) > 0 {
			before = scrapes[len(scrapes)-1]
		}
		c.eventually("refused connections are not counted", func() bool {
			tomorrow = c.scrape(job)
			return tomorrow.sum("balsa_tls_refused_connections_total") >= before.sum("balsa_tls_refused_connections_total")+20
		})
		scrapes = append(scrapes, tomorrow)
	}
	p.fires("BalsaTLSFailures", func(i int) scraped { // so many are refused again and again
		next := maps.Clone(scrapes[min(i, len(scrapes)-1)])
		for key, r := range next {
			if r.name() == "balsa_tls_refused_connections_total" {
				next[key] = r.with(r.v + 20*float64(max(0, i-len(scrapes)+1)))
			}
		}
		return next
	})
}
