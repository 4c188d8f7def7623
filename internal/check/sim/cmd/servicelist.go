package main

// service are bugs of the store, of users and of locks that tests of one package find: most need something to happen
// within one command or one read, where the simulation has one step, or are of parts that it replaces.
var service = []mutant{
	{name: "deletion-at-the-compacted-revision-forgotten-at-open", edit: edit{"kv/load.go",
		"	if n.Deleted && n.Mod < s.compacted {\n", "	if n.Deleted && n.Mod <= s.compacted {\n"}, tests: [2]string{"./state", "^TestADeletionAt"}},
	{name: "transaction-seen-in-part", edit: edit{"kv/write.go",
		"	if w.changes == 0 {\n		s.revision, s.chain", "	if true {\n		s.revision, s.chain"}, tests: [2]string{"./kv", "^TestATransactionIsSeen"}},
	{name: "range-names-a-later-revision", edit: edit{"kv/rangeread.go",
		"	r.Revision = present\n", "	r.Revision = s.Revision()\n"}, tests: [2]string{"./kv", "^TestARangeIsOf"}},
	{name: "keys-alone-cost-their-values", edit: edit{"kv/rangeread.go",
		"err := g.s.complete(r, false)", "err := g.s.complete(r, true)"}, tests: [2]string{"./kv", "^TestKeysAreRead"}},
	{name: "deleted-keys-removed-at-once", edit: edit{"kv/index/purge.go",
		"x.tombstones.len() > 0 && n < budget", "x.tombstones.len() > 0"}, tests: [2]string{"./kv/index", "^TestPurgeKeeps"}},
	{name: "alarm-sets-rights-aside", edit: edit{"state/permit.go",
		"	case !t.Enabled():\n		return kv.CodeOK\n	case m.Internal", "	case !t.Enabled() || p.alarms.noSpace.Load():\n		return kv.CodeOK\n	case m.Internal"},
		tests: [2]string{"./state", "^TestAlarmsLeaveRights"}},
	{name: "users-of-a-received-state-not-signalled", edit: edit{"state/durable.go",
		"		close(old.users.now.Load().replaced)\n", "		_ = old\n"}, tests: [2]string{"./state", "^TestUsersOfAReceivedState"}},
	{name: "state-that-was-received-not-told-to-watchers", edit: edit{"state/durable.go",
		"		m.cfg.Publisher.Reset(p.keys.Revision(), p.keys.Compacted())\n", ""}, tests: [2]string{"./state", "^TestUsersOfAReceivedState"}},
	{name: "change-of-a-role-ends-all-tokens", edit: edit{"state/auth/change.go",
		"	t.setRole(newRole(old.Name, permissions))\n", "	for _, u := range t.users {\n		stamped := *u\n		stamped.Stamp = t.revision + 1\n		t.setUser(&stamped)\n	}\n	t.setRole(newRole(old.Name, permissions))\n"},
		tests: [2]string{"./internal/frontend/access", "^TestHowLongAToken"}},
	{name: "certificate-names-a-user-at-the-gateway", edit: edit{"internal/frontend/etcd/gateway/gateway.go",
		"	if c.Token == \"\" {\n", "	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {\n		c.CommonName = r.TLS.VerifiedChains[0][0].Subject.CommonName\n	}\n	if c.Token == \"\" {\n"},
		tests: [2]string{"./internal/frontend/etcd/gateway", "^TestACertificate"}},
	{name: "lock-held-by-another-key-of-its-lease", edit: edit{"internal/frontend/etcd/queue.go",
		" || resp.Kvs[0].CreateRevision != p.created {", " {"}, tests: [2]string{"./internal/frontend/etcd", "^TestLockIsNotHeld"}},
	{name: "manifest-of-a-member-taken-as-it-is", edit: edit{"state/receive.go",
		"		err = im.manifest.check()\n", "		err = nil\n"}, tests: [2]string{"./state", "^TestAManifestThat"}},
	{name: "values-that-are-kept-without-bound", edit: edit{"kv/validate.go",
		"; kept > most {", "; kept > 10*most {"}, tests: [2]string{"./kv", "^TestPutsThatKeep"}},
	{name: "values-to-sort-by-all-held", edit: edit{"kv/rangecut.go",
		"; g.held <= g.mostHeld {", "; g.held >= 0 {"}, tests: [2]string{"./kv", "^TestValuesThatAreOnly"}},
	{name: "huge-revision-kept-for-nobody", edit: edit{"kv/watch/stream.go",
		"		s.hub.pieces.release(s.hub.limits.allPieces())\n", ""}, tests: [2]string{"./kv/watch", "^TestAHugeRevision"}},
	{name: "batch-counts-for-one-face", edit: edit{"kv/watch/stream.go",
		"		h.copies++\n", "		h.copies = 2\n"}, tests: [2]string{"./kv/watch", "^TestABatchCounts"}},
}

func init() { mutants = append(mutants, service...) }
