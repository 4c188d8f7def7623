package raft

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"ID":                   func(c *Config) { c.ID = None },
		"Rand":                 func(c *Config) { c.Rand = nil },
		"HeartbeatTicks":       func(c *Config) { c.HeartbeatTicks = -1 },
		"ElectionTimeoutTicks": func(c *Config) { c.HeartbeatTicks, c.ElectionTimeoutTicks = 5, 5 },
		"MaxAppendBytes":       func(c *Config) { c.MaxAppendBytes = -1 },
		"MaxUnappliedBytes":    func(c *Config) { c.MaxUnappliedBytes = -1 },
		"LeaseDuration":        func(c *Config) { c.LeaseDuration = maxLeaseDuration + 1 },
		"MaxClockDrift":        func(c *Config) { c.MaxClockDrift = 1 },
	} {
		cfg := Config{ID: 1, Rand: rand.New(rand.NewPCG(1, 1))}
		if _, err := New(cfg, State{}); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg, State{}); err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("a wrong %s: %v", field, err)
		}
	}
}
