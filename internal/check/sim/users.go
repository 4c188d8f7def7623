package sim

import (
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// In part of the runs there are users. Clerks act for root, callers for others, who may do less and
// less or more and more, as an administrator changes roles all the time. What a caller is denied is
// no part of the history; that it is denied, and changes nothing, on each node alike, shows in the
// results and the state that are compared after each command.

// users are those of callers.
var users = []string{"u0", "u1"}

// userOf is the user of a caller.
func (c *caller) user() string { return users[c.id%len(users)] }

// named lets a command of a caller name its user. Some have a token that is older than the password.
func (c *caller) named(m *state.More) {
	if !c.w.mix.Users {
		return
	}
	m.User, m.UserStamp = c.user(), auth.ByCertificate
	if c.w.chance(0.02) {
		m.UserStamp = 1
	}
}

// denied tells whether a command was refused because of its user.
func denied(r state.Result) bool {
	return slices.Contains([]kv.Code{kv.CodePermissionDenied, kv.CodeInvalidToken, kv.CodeNoUser}, r.Code)
}

// ofClerk tells whether a command is a Clerk's.
func ofClerk(c state.Command) bool {
	return c.More == nil || c.More.User == auth.RootName && c.More.Kind == state.KindOp
}

// administer makes a change of users and roles at some node, and then others. Nobody waits for the
// result.
func (w *world) administer() {
	if w.closing {
		return
	}
	c := w.drawChange()
	w.ask(state.More{Kind: state.KindAuth, Auth: &c})
	w.after(w.upTo(milliseconds(300)), w.administer)
}

// setup is what has to be there. It is asked for again and again, since a change may be lost, or
// something may be taken away.
var setup = []auth.Change{
	{Kind: auth.UserAdd, User: auth.RootName}, {Kind: auth.UserGrant, User: auth.RootName, Role: auth.RootName},
	{Kind: auth.UserAdd, User: users[0], Hash: []byte("hash")}, {Kind: auth.UserAdd, User: users[1], Hash: []byte("hash")},
	{Kind: auth.RoleAdd, Role: "r0"}, {Kind: auth.RoleAdd, Role: "r1"},
	{Kind: auth.UserGrant, User: users[0], Role: "r0"}, {Kind: auth.UserGrant, User: users[1], Role: "r1"},
	{Kind: auth.Enable, Secret: []byte("secret")},
}

// drawChange draws a change. Many are refused, since what they need is not there.
func (w *world) drawChange() auth.Change {
	w.changes++
	if w.changes <= len(setup) || w.chance(0.4) {
		return setup[w.changes%len(setup)]
	}
	user, role := pick(w.rand, users...), pick(w.rand, "r0", "r1")
	switch w.rand.IntN(10) {
	case 0:
		return pick(w.rand, auth.Change{Kind: auth.Disable}, auth.Change{Kind: auth.UserDelete, User: user},
			auth.Change{Kind: auth.RoleDelete, Role: role}, auth.Change{Kind: auth.UserRevoke, User: user, Role: role})
	case 1:
		return auth.Change{Kind: auth.UserPassword, User: user, Hash: []byte("other")}
	case 2:
		kind := pick(w.rand, auth.UserGrant, auth.UserRevoke, auth.UserRevoke)
		return auth.Change{Kind: kind, User: user, Role: auth.RootName}
	}
	p := auth.PermissionOf(auth.Access(w.rand.IntN(3)), w.span())
	return auth.Change{Kind: pick(w.rand, auth.RoleGrant, auth.RoleGrant, auth.RoleRevoke), Role: role, Permission: p}
}
