package prometheus

import (
	"testing"
	"time"

	"balsa.example/compat/rig"
)

// join adds a server to a cluster that runs, with a role.
func (c *cluster) join(name, role string) *server {
	c.t.Helper()
	s := &server{name: name, clients: rig.FreePort(c.t), peers: rig.FreePort(c.t), metrics: rig.FreePort(c.t)}
	s.cmd = rig.Start(c.t, "serve", "--name", name, "--data-dir", c.file(name), "--log-level", "warn", role, "--join", c.servers[0].peers+","+c.servers[1].peers,
		"--listen-peer-urls", "http://"+s.peers, "--listen-client-urls", "http://"+s.clients, "--listen-metrics-urls", "http://"+s.metrics)
	c.servers = append(c.servers, s)
	return s
}

// A witness and a learner are members like others to Prometheus: nothing fires while they are well. The witness counts
// for the majority, and the learner does not.
func TestAlertsKnowAWitnessAndALearner(t *testing.T) {
	c := start(t, 2, 365*24*time.Hour)
	c.do("backup", c.file("backup"))
	c.work()
	witness, learner := c.join("w", "--witness"), c.join("l", "--learner")
	var healthy scraped
	c.eventually("the witness does not vote, or the learner is none", func() bool {
		healthy = c.scrape(job)
		voters := 0.0
		for _, r := range healthy {
			if r.name() == "balsa_server_members" && r.labels.Get("role") == "witness" {
				voters += r.v
			}
		}
		return voters == 4 && healthy.sum("etcd_server_is_learner") == 1 && healthy.sum("balsa_server_has_leader") == 4 && healthy.sum("balsa_server_admitted") == 4 &&
			healthy.sum("balsa_peer_connected") == 12
	})
	p := provoked{t: t, well: begin(t), names: map[string]bool{}}
	for range 30 {
		p.well.add(healthy)
	}
	p.nothing(healthy)
	one, other := c.servers[0], c.servers[1]
	p.silent("BalsaInsufficientMembers", healthy.down(one).down(learner))
	p.silent("BalsaInsufficientMembers", healthy.down(witness).down(learner))
	p.fires("BalsaInsufficientMembers", lasting(healthy.down(witness).down(other)))
	p.fires("BalsaInsufficientMembers", lasting(healthy.down(one).down(other)))
}
