package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"balsa.example/clerk"
	"balsa.example/state"
)

// What is done with two versions of the program.
const (
	kindUpgrade    = "version: a server is upgraded"
	kindDowngrade  = "version: a server is downgraded"
	kindNewerTakes = "version: a newer server gets the state of older ones"
	kindOlderTakes = "version: an older server gets the state of newer ones"
	kindUpgradeAll = "version: all are upgraded"
	kindTooOld     = "version: a program too old for the directory"
)

const (
	// raisedWithin is how soon the cluster must use the newer version when all servers have it.
	raisedWithin = 20 * time.Second
	// refusesWithin is how soon a program must have ended that is too old for its directory.
	refusesWithin = 20 * time.Second
)

// olderProgram is an executable, or is built in dir from a commit.
func olderProgram(dir, older string) (binary string, err error) {
	if _, err := os.Stat(older); err == nil {
		return filepath.Abs(older)
	}
	return buildOlder(dir, older)
}

// buildOlder makes balsa in dir as it was at a commit of this repository.
func buildOlder(dir, commit string) (binary string, err error) {
	top, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	source := filepath.Join(dir, "older")
	binary = filepath.Join(dir, "balsa-older")
	// A checkout may belong to another user.
	const script = `set -e
mkdir "$3"
git -C "$1" -c safe.directory='*' archive --format=tar --output="$3/source.tar" "$2"
cd "$3"
tar -xf source.tar
go build -buildvcs=false -o "$4" ./cmd/balsa`
	out, err := exec.Command("sh", "-c", script, "sh", string(bytes.TrimSpace(top)), commit, source, binary).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build balsa of commit %s: %w\n%s", commit, err, out)
	}
	return binary, os.RemoveAll(source)
}

// program is what m runs.
func (c *cluster) program(m *member) string {
	if m.older {
		return c.older
	}
	return c.binary
}

// olders is how many members run the older program.
func (c *cluster) olders() (n int) {
	for _, m := range c.members {
		if m.older {
			n++
		}
	}
	return n
}

// otherVersion lets a member that the seed chooses go on with the other program.
func (t *torture) otherVersion() error { return t.exchange(t.mayChange()) }

// mayChange is any member but the last one that runs the older program: when there is none, there is no
// way back.
func (t *torture) mayChange() *member {
	m := t.c.members[t.rng.IntN(len(t.c.members))]
	if m.older && t.c.olders() == 1 {
		return t.c.but(m)[t.rng.IntN(len(t.c.members)-1)]
	}
	return m
}

// exchange lets m go on with the other program. It is asked to end, or is killed.
func (t *torture) exchange(m *member) error {
	began := time.Now()
	kind, how := kindUpgrade, "asked to end"
	if !m.older {
		kind = kindDowngrade
	}
	if t.rng.IntN(2) == 0 {
		how = "killed"
		m.kill()
	} else if !m.stop(10 * time.Second) {
		return fmt.Errorf("%s: %s did not stop when asked to", kind, m.name)
	}
	m.older = !m.older
	if _, err := t.c.restart(m); err != nil {
		return err
	}
	if err := t.healthy(); err != nil {
		return fmt.Errorf("%s, %s, %s: %w", kind, m.name, how, err)
	}
	if _, err := t.load.resumed(t.ctx, time.Now(), t.o.heal); err != nil {
		return fmt.Errorf("%s, %s, %s: %w", kind, m.name, how, err)
	}
	if _, highest := t.clusterVersions(); t.c.olders() > 0 && highest >= state.Version {
		return fmt.Errorf("%s, %s, %s: the cluster uses version %d, and not all of its members know it", kind, m.name, how, highest)
	}
	if err := t.membersMixed(); err != nil {
		return fmt.Errorf("%s, %s, %s: %w", kind, m.name, how, err)
	}
	pause := t.load.stalled(began)
	t.report.stalled(kind, pause)
	t.done(kind, 0, "%s, %s; longest pause of writes %v; %d of %d are older now",
		m.name, how, pause.Round(time.Millisecond), t.c.olders(), len(t.c.members))
	return nil
}

// membersMixed demands that each newer server says who the members are, also while there are older ones, and
// that it refuses to change them then, for certain and why.
func (t *torture) membersMixed() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.o.heal)
	defer cancel()
	for _, m := range t.c.members {
		if m.older || t.c.olders() == 0 {
			continue
		}
		ck, err := clerk.New([]string{m.client})
		if err != nil {
			return err
		}
		all, err := ck.Members(ctx, true)
		_, refused := ck.AddMember(ctx, clerk.MemberChange{NewName: "too-early"})
		ck.Close()
		if err == nil {
			err = t.named(all)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s says of the members: %w", m.name, err)
		case !errors.Is(refused, clerk.ErrMemberChange):
			return fmt.Errorf("%s adds a member, and not all know changes: %v, want %w", m.name, refused, clerk.ErrMemberChange)
		}
	}
	return nil
}

// named returns an error unless all are the members of the rig, with their addresses.
func (t *torture) named(all clerk.Members) error {
	for _, m := range t.c.members {
		if !slices.ContainsFunc(all.All, func(one clerk.Member) bool {
			return one.Name == m.name && slices.Equal(one.PeerURLs, []string{"http://" + m.peer}) && slices.Equal(one.ClientURLs, m.clientURLs())
		}) {
			return fmt.Errorf("%s, at %s and %s, is not among %+v", m.name, m.peer, m.client, all.All)
		}
	}
	return nil
}

// takesState lets a member, which runs the older program or the newer one, fall behind so far that it
// gets the state of the others, which all run the other program.
func (t *torture) takesState(kind string) error {
	m, older := t.c.members[t.rng.IntN(len(t.c.members))], kind == kindOlderTakes
	order := append(t.c.but(m), m)
	if older { // before the others are not any more
		order = append([]*member{m}, t.c.but(m)...)
	}
	for _, one := range order {
		if one.older != (older == (one == m)) {
			if err := t.exchange(one); err != nil {
				return err
			}
		}
	}
	return t.fallBehind(kind, m)
}

// upgradeAll upgrades those that are older. The cluster must use the newer version soon.
func (t *torture) upgradeAll() error {
	for _, i := range t.rng.Perm(len(t.c.members)) {
		if m := t.c.members[i]; m.older {
			if err := t.exchange(m); err != nil {
				return err
			}
		}
	}
	at := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, raisedWithin)
	defer cancel()
	raised := func() bool { lowest, _ := t.clusterVersions(); return lowest == state.Version }
	if err := t.until(ctx, raised); err != nil {
		return fmt.Errorf("all servers are upgraded, and %v later the cluster does not use version %d", raisedWithin, state.Version)
	}
	took := time.Since(at)
	if err := t.changes.settled(); err != nil {
		return err
	}
	if err := t.olderClient(); err != nil {
		return err
	}
	t.done(kindUpgradeAll, 0, "the cluster used version %d after %v", state.Version, took.Round(time.Millisecond))
	return nil
}

// clusterVersions are the lowest and the highest version that the members say the cluster uses; 0 is
// that of a member that says nothing.
func (t *torture) clusterVersions() (lowest, highest uint64) {
	ctx, cancel := context.WithTimeout(t.ctx, time.Second)
	defer cancel()
	var all []uint64
	for _, s := range statuses(ctx, t.ck, t.c.members) {
		all = append(all, s.Status.GetClusterVersion())
	}
	return slices.Min(all), slices.Max(all)
}

// olderClient puts and gets a key with the older program.
func (t *torture) olderClient() error {
	endpoints := "--endpoints=" + strings.Join(t.c.direct(), ",")
	for _, args := range [][]string{{"put", "older", "client", endpoints}, {"get", "older", endpoints}} {
		out, err := exec.CommandContext(t.ctx, t.c.older, args...).CombinedOutput()
		if err != nil || args[0] == "get" && !bytes.Contains(out, []byte("client")) {
			return fmt.Errorf("the older balsa %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// tooOld starts the older program on a directory of the newer one. It must end, say why, and leave all as it is.
func (t *torture) tooOld() error {
	m := t.c.members[t.rng.IntN(len(t.c.members))]
	m.stop(10 * time.Second)
	before, err := fingerprints(m.dir)
	if err != nil {
		return err
	}
	m.older = true
	if err := t.c.start(m); err != nil {
		return err
	}
	select {
	case <-m.exited:
	case <-time.After(refusesWithin):
		return fmt.Errorf("%s runs an older program on the directory of a newer one", m.name)
	}
	code, words := m.process.ProcessState.ExitCode(), m.tail(1)
	after, err := fingerprints(m.dir)
	switch {
	case err != nil:
		return err
	case code == 0:
		return fmt.Errorf("an older program on %s ends as if all were well: %s", m.dir, words)
	case !maps.Equal(before, after):
		return fmt.Errorf("an older program has changed %s", m.dir)
	}
	m.older = false
	if _, err := t.c.restart(m); err != nil {
		return err
	}
	t.done(kindTooOld, 0, "%s ended with %d: %s", m.name, code, words)
	return nil
}

// fingerprints are the hashes of all files below dir.
func fingerprints(dir string) (map[string][sha256.Size]byte, error) {
	all := make(map[string][sha256.Size]byte)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = sha256.Sum256(content)
		return err
	})
	return all, err
}
