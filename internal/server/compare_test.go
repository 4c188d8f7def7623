package server

import (
	"runtime"
	"testing"
	"time"
)

// More threads than processors are no more processors.
func TestProcessorsAreThoseThatAreThere(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	if got := processors(); got != runtime.NumCPU() {
		t.Errorf("%d processors, want %d", got, runtime.NumCPU())
	}
}

// What a status has for those who compare members, and for those who look twice.
func TestAStatusTellsSettingsResourcesAndWork(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 2, tls: true})
	c.startAll()
	before := c.servers[0].status()
	c.put("a", "1", 0)
	st := c.servers[0].status()
	cfg := c.servers[0].cfg
	if got := st.Settings; got.ElectionTimeoutMs != uint64(cfg.ElectionTimeout.Milliseconds()) || got.MaxTxnOps != 128 || got.MaxRequestBytes != 3<<19 {
		t.Errorf("settings: %v", got)
	}
	if got := st.Resources; got.Processors == 0 || got.MemoryBytes == 0 {
		t.Errorf("resources: %v", got)
	}
	if w := st.Work; w.Syncs <= before.Work.Syncs || w.SyncUs < before.Work.SyncUs || w.LogBytes <= before.Work.LogBytes || len(w.SyncTimes) == 0 {
		t.Errorf("work: %v, before %v", w, before.Work)
	}
	if off := time.Since(time.UnixMilli(st.ClockUnixMs)); off < -time.Second || off > patience {
		t.Errorf("its clock is %s behind", off)
	}
	sides := map[string]bool{}
	for _, e := range st.Certificates {
		sides[e.Side] = e.Certificate > time.Now().Unix() && e.Authority > 0 && !e.Stale
	}
	if !sides["client"] || !sides["peer"] {
		t.Errorf("certificates: %v", st.Certificates)
	}
}
