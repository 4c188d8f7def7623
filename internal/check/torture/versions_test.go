package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Once all are upgraded there is no way back. So that comes when all else was done with two versions.
func TestAllAreUpgradedLast(t *testing.T) {
	all := kinds(testOptions("-seed=1", "-older=x", "-upgrades=3", "-kills=3", "-changes=2"))
	end := []string{kindCatchUp, kindAll, kindNewerTakes, kindOlderTakes, kindUpgradeAll, kindTooOld, kindChange, kindChange}
	if len(all) < len(end) || !slices.Equal(all[len(all)-len(end):], end) {
		t.Errorf("the order is %q, want %q at the end", all, end)
	}
	if !slices.Contains(all, kindVersion) {
		t.Errorf("no server is upgraded before all are: %q", all)
	}
}

func TestTheLastOlderMemberStaysSo(t *testing.T) {
	tt := &torture{rng: rand.New(rand.NewPCG(1, 2)), c: &cluster{members: []*member{{older: true}, {older: true}, {older: true}}}}
	fewest, most := 3, 0
	for range 200 {
		m := tt.mayChange()
		m.older = !m.older
		fewest, most = min(fewest, tt.c.olders()), max(most, tt.c.olders())
	}
	if fewest != 1 || most != 3 {
		t.Errorf("%d to %d members are older, want 1 to 3", fewest, most)
	}
}

func TestAProgramThatWritesIsNoticed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	prints := func(content string) [32]byte {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := fingerprints(dir)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[path]
	}
	if a, again, b := prints("a"), prints("a"), prints("b"); a != again || a == b {
		t.Error("the fingerprint is not of what the file has")
	}
}
