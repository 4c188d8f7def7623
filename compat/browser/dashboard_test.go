package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/compat/rig"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	wide, high = 1280, 860
	phone      = 390
)

// awaited waits for a promise.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// TestKeys makes, edits, reads back and deletes a key.
func TestKeys(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--ui-writes")
	c.balsa("put", "config/web", `{"replicas":3}`)
	c.balsa("put", "config/api", "one")
	c.balsa("put", "other", "thing")
	p := open(t, c.servers[0].url()+"#/keys", wide, high)
	p.says(".list", "3 of 3 keys")

	p.fill("#prefix", "config/")
	p.says(".list", "2 of 2 keys")
	p.click(".list .row", "web")
	p.says(".detail .value", `"replicas": 3`)
	p.click(".detail .tab", "Hex")
	p.says(".detail .value", "7b 22 72")

	p.click("button", "New key")
	p.fill("#new-key", "config/db")
	p.fill("#new-value", "first")
	p.click("dialog button", "Write")
	p.says(".detail .value", "first")
	p.says(".list", "3 of 3 keys")
	for _, value := range []string{"second", "third"} {
		p.click(".detail button", "Edit")
		p.fill("#new-value", value)
		p.click("dialog button", "Write")
		p.says(".detail .value", value)
	}
	p.has("document.querySelectorAll('.history .row').length === 3")
	p.click(".history .row", "first")
	p.says(".detail .note", "old version")
	p.says(".detail .value", "first")
	p.click(".detail button", "Write this version again")
	p.click("dialog button", "Write")
	p.has("document.querySelectorAll('.history .row').length === 4")
	if got := c.balsa("get", "config/db"); got != "first" {
		t.Errorf("the server has %q", got)
	}

	// Somebody else is faster.
	p.click(".detail button", "Edit")
	c.balsa("put", "config/db", "theirs")
	p.fill("#new-value", "ours")
	p.click("dialog button", "Write")
	p.says("dialog .error", "Somebody has changed the key meanwhile")
	p.click("dialog button", "Cancel")
	if got := c.balsa("get", "config/db"); got != "theirs" {
		t.Errorf("the server has %q", got)
	}
	p.click(".list .row", "db")
	p.says(".detail .value", "theirs")
	p.click(".detail button", "Delete")
	p.says("dialog", "config/db is deleted, if nobody has changed it")
	p.click("dialog button.danger", "Delete")
	p.says(".list", "2 of 2 keys")

	p.fill("#revision", "5") // when there was config/db for the first time
	p.click("form.tools button", "Show")
	p.says(".list", "3 of 3 keys, at revision 5")
	p.click(".list .row", "db")
	p.says(".detail .value", "first")
	p.has("!document.querySelector('.detail button.danger')") // the past cannot be changed
}

// TestMarkupStaysText shows keys and values that would be scripts if they were markup.
func TestMarkupStaysText(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--ui-writes")
	for i, markup := range []string{
		`<img src=x onerror="window.hacked=1">`, `<script>window.hacked=1</script>`, `"><svg onload=window.hacked=1>`, `javascript:window.hacked=1`,
	} {
		c.balsa("put", fmt.Sprintf("%d%s", i, markup), markup)
	}
	c.balsa("put", "bytes\x01\u202egnp", "\x01\xff")
	p := open(t, c.servers[0].url()+"#/keys", wide, high)
	p.says(".list", "5 of 5 keys")
	for i := range 4 {
		p.click(".list .row", fmt.Sprint(i, "<")[:1])
		p.says(".detail .value", "hacked=1")
	}
	p.says(".list", `bytes\x01\xe2\x80\xaegnp`)
	p.click(".list .row", "bytes")
	p.says(".detail .value", "01 ff")
	p.visit("#/watch?on=yes")
	p.says("main", "Watching")
	c.balsa("put", `<img src=x onerror="window.hacked=1">`, `<img src=x onerror="window.hacked=1">`)
	p.says(".events", `onerror="window.hacked=1"`)
	p.click(".events a", "img")
	p.says(".detail .value", "hacked=1")
	p.has("!window.hacked && !document.querySelector('main img, main script')")

	// Were there a hole, the policy would still hold.
	p.expect("Content Security Policy", "TrustedHTML", "Trusted")
	var refused bool
	p.eval(`(() => { try { document.body.innerHTML = '<img src=x onerror="window.hacked=1">'; return false } catch { return true } })()`, &refused)
	if !refused {
		t.Error("the policy lets text become markup")
	}
}

func TestWatchAndLeases(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--ui-writes")
	p := open(t, c.servers[0].url()+"#/watch", wide, high)
	p.fill("#watch-prefix", "jobs/")
	p.click("form button", "Watch")
	p.says("main", "Watching. 0 events")
	c.balsa("put", "jobs/1", "begun")
	c.balsa("put", "elsewhere", "unseen")
	c.balsa("del", "jobs/1")
	p.says(".events li:first-child", "delete")
	p.says(".events li:last-child", "begun")
	p.has("document.querySelectorAll('.events li').length === 2")
	p.click("form button", "Stop")
	p.says("main", "Stopped after 2 events")

	lease := strings.TrimPrefix(strings.Fields(c.balsa("lease", "grant", "600"))[0], "lease=")
	c.balsa("put", "locks/a", "held", "--lease", lease)
	p.visit("#/leases")
	p.says("tbody", lease)
	p.says("tbody", "locks/a")
	p.click("tbody button", "Revoke")
	p.says("dialog", "Its key is deleted in the same revision: locks/a")
	p.click("dialog button.danger", "Revoke")
	p.says("main", "There are no leases.")
}

// TestMembers does everything that can be done with members, at a server that does not lead.
func TestMembers(t *testing.T) {
	t.Parallel()
	c := start(t, 3, "--ui-writes")
	c.balsa("put", "greeting", "hello")
	l := c.leader()
	f := c.other(l)
	p := open(t, f.url()+"#/members", wide, high)
	row := func(name string) string { return fmt.Sprintf("tbody tr:nth-child(%s)", name[1:]) }
	p.says(row(l.name), "leader")

	p.click(row(f.name)+" button", "Make leader")
	p.says("dialog", l.name+" hands over to "+f.name)
	p.click("dialog button", "Move the leader")
	p.says(row(f.name), "leader")
	p.says(row(l.name), "follower")

	p.click("button", "Add a member")
	p.fill("#add-name", "n4")
	p.click("dialog button", "Go on")
	p.says("dialog", "n4 gets a place in the cluster")
	p.says("dialog", "4 members vote, and 1 of them may fail")
	p.click("dialog button", "Add")
	p.says("dialog pre", "balsa serve")
	p.says("dialog pre", f.peers)
	p.click("dialog button", "Done")
	p.says(row("n4"), "not started")
	n4 := &server{name: "n4", clients: rig.FreePort(t), peers: rig.FreePort(t)}
	c.servers = append(c.servers, n4)
	c.run(n4, "--join", f.peers)
	p.says(row("n4"), "follower")

	p.click(row("n4")+" button", "Replace")
	p.says("dialog", "A place is made for a server that takes over from n4")
	p.click("dialog button", "Make a place")
	p.click("dialog button", "Done")
	p.says("tbody", "for n4")
	p.click("tbody tr:last-child button", "Remove")
	p.says("dialog", "is removed for good")
	p.has("document.querySelector('dialog button.danger').disabled") // until the name is typed
	p.fill("#typed", "n4")
	p.click("dialog button.danger", "Remove")
	p.silent("tbody", "for n4")

	// A member that is away can be removed, but not one without which there is no majority.
	n4.kill()
	p.says(row("n4"), "unreachable")
	p.click(row("n4")+" button", "Remove")
	p.says("dialog", "Afterwards 3 members vote, and 1 of them may fail")
	p.fill("#typed", "n4")
	p.click("dialog button.danger", "Remove")
	p.has("document.querySelectorAll('tbody tr').length === 3")
	l.kill()
	p.says(row(l.name), "unreachable")
	p.expect("409")
	for _, s := range c.servers[:3] {
		if s != l && s != f {
			p.click(row(s.name)+" button", "Remove")
		}
	}
	p.says("dialog .error", "would be no majority after that: "+l.name+" would not answer")
	p.has("document.querySelector('dialog button.danger').disabled && document.querySelector('#typed').disabled")
	p.press("Escape")
	p.has("!document.querySelector('dialog')")
}

// TestALeaderIsLostWhileOneLooks kills the leader as a loss of power would, and then the one whose
// dashboard is shown.
func TestALeaderIsLostWhileOneLooks(t *testing.T) {
	t.Parallel()
	c := start(t, 3)
	l := c.leader()
	f := c.other(l)
	p := open(t, f.url(), wide, high)
	p.says("h1", l.name+" leads")
	p.says(".hero .chip", "healthy")
	p.says(".member.leads h3", l.name)
	l.kill()
	p.says(".note", l.name+" does not answer.")
	p.says(".note.bad", "No further voter may fail")
	p.has(fmt.Sprintf("!document.querySelector('h1').innerText.includes(%q) && document.querySelector('h1').innerText.includes('leads')", l.name))
	p.says(".member.away h3", l.name)
	c.run(l, "--initial-cluster", c.members)
	p.says(".hero .chip", "healthy")
	p.has("!document.querySelector('.note')")

	p.expect("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
	f.kill()
	p.says("#banner", "This server does not answer")
	p.has(fmt.Sprintf("document.querySelector('#banner a').href.endsWith('/ui/') && !document.querySelector('#banner a').href.includes(%q)", f.clients))
	c.run(f, "--initial-cluster", c.members)
	p.has("!document.querySelector('#banner').firstChild")
	p.says(".hero .chip", "healthy")
}

// TestOnlyLooking: without --ui-writes there is nothing to press that would change anything.
func TestOnlyLooking(t *testing.T) {
	t.Parallel()
	c := start(t, 1)
	c.balsa("put", "a", "1")
	c.balsa("lease", "grant", "600")
	p := open(t, c.servers[0].url()+"#/keys?key=a", wide, high)
	p.says(".detail .value", "1")
	p.has("!document.querySelector('.danger') && document.querySelector('form.tools .primary').hidden")
	p.visit("#/leases")
	p.says("main", "1 of 1 leases")
	p.has("!document.querySelector('.danger')")
	p.visit("#/members")
	p.says("main", "This dashboard only shows")
	p.has("!document.querySelector('.danger')")
	p.expect("403")
	var status int
	p.do(chromedp.Evaluate(`fetch('api/v3/kv/txn', {method: 'POST', headers: {'Content-Type': 'application/json', 'X-Balsa-Dashboard': '1'}, body: '{}'}).then((r) => r.status)`, &status, awaited))
	if status != 403 {
		t.Errorf("the server answers a write with %d", status)
	}
}

// TestUsersLogIn has root, and somebody who may read some keys.
func TestUsersLogIn(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--ui-writes", "--bcrypt-cost", "4")
	c.balsa("put", "open/a", "1")
	c.balsa("put", "secret", "2")
	for _, args := range []string{
		"user add root:secret", "user grant-role root root", "role add app", "role grant app read open/ --prefix",
		"user add ann:word", "user grant-role ann app", "auth enable",
	} {
		c.balsa(strings.Fields(args)...)
	}
	p := open(t, c.servers[0].url(), wide, high)
	p.expect("401", "400", "403")
	p.says("h1", "Log in")
	p.login("ann", "wrong")
	p.says(".error", "authentication failed")
	p.login("ann", "word")
	p.says("#foot", "as ann")
	p.says("h1", "n1 leads")
	p.visit("#/keys?prefix=open/")
	p.says(".list", "1 of 1 keys")
	p.visit("#/keys?prefix=secret")
	p.says(".list", "permission denied")
	p.visit("#/members")
	p.click("tbody button", "Replace")
	p.says("dialog .error", "permission denied")
	p.press("Escape")
	p.click("main button", "Download a backup")
	p.click("dialog button", "Download")
	p.says("#toasts", "permission denied")

	p.do(chromedp.Click("#foot [aria-label='Log out']", chromedp.ByQuery))
	p.says("h1", "Log in")
	p.login("root", "secret")
	p.says("#foot", "as root")
	p.visit("#/keys")
	p.says(".list", "2 of 2 keys")
	c.balsa("--user", "root:secret", "user", "passwd", "root:other")
	p.says("h1", "Log in") // the token is no longer valid
}

// TestUsersAreShown to those who may see them.
func TestUsersAreShown(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--bcrypt-cost", "4")
	p := open(t, c.servers[0].url(), wide, high)
	p.says("nav", "Users")
	p.press("6")
	p.says("h1", "Users")
	p.says("main", "authentication is off")
	p.says("main", "There are no users.")
	for _, args := range []string{
		"user add root:secret", "user grant-role root root", "role add app", "role grant app read open/ --prefix", "role grant app write config",
		"role grant app readwrite m --to p", "role grant app read z --from-key", "role add <b>bold</b>", "user add ann:word", "user grant-role ann app",
		"user add host --no-password",
	} {
		c.balsa(strings.Fields(args)...)
	}
	p.press("1")
	p.press("6")
	p.says("main", "3 of 3 users")
	for _, row := range []string{"ann app", "host none", "root root"} {
		p.has(fmt.Sprintf("[...document.querySelectorAll('tbody tr')].some((e) => e.innerText.trim().split(/\\s+/).join(' ') === %q)", row))
	}
	for _, right := range []string{"read keys that begin with open/", "write the key config", "read and write keys from m to before p", "read all keys from z on"} {
		p.says(".right", right)
	}
	p.says("tbody", "<b>bold</b>")
	p.fill("#user-name", "an")
	p.says("main", "1 of 3 users")

	c.balsa("auth", "enable")
	p.expect("401", "400", "403")
	p.says("h1", "Log in")
	p.login("ann", "word")
	p.says("#foot", "as ann")
	p.has("document.querySelectorAll('nav a').length === 5")
	p.says(".error", "permission denied")
	p.press("6")
	p.press("5")
	p.says("h1", "Members")
	p.do(chromedp.Click("#foot [aria-label='Log out']", chromedp.ByQuery))
	p.login("root", "secret")
	p.says("#foot", "as root")
	p.says("nav", "Users")
	p.visit("#/users")
	p.says("main", "authentication is on")
	p.says("main", "3 of 3 users")
}

// TestABackupIsDownloaded verifies what the browser has saved.
func TestABackupIsDownloaded(t *testing.T) {
	t.Parallel()
	c := start(t, 1)
	c.balsa("put", "greeting", "hello")
	dir := t.TempDir()
	p := open(t, c.servers[0].url()+"#/members", wide, high)
	p.do(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir))
	p.click("main button", "Download a backup")
	p.says("dialog", "as a tar file")
	p.click("dialog button", "Download")
	var files []string
	c.eventually("nothing is downloaded", func() bool {
		files, _ = filepath.Glob(filepath.Join(dir, "balsa-*.tar"))
		return len(files) == 1
	})
	if out, err := exec.Command("tar", "xf", files[0], "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	unpacked := strings.TrimSuffix(files[0], ".tar")
	if out := c.balsa("backup", "verify", unpacked); !strings.Contains(out, "1 point") {
		t.Errorf("balsa backup verify: %s", out)
	}
	if _, err := os.Stat(filepath.Join(unpacked, "BACKUP")); err != nil {
		t.Error(err)
	}
}

// TestTheKeyboardIsEnough uses no mouse.
func TestTheKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	c := start(t, 1, "--ui-writes")
	c.balsa("put", "a", "1")
	p := open(t, c.servers[0].url(), wide, high)
	p.says("h1", "n1 leads")
	press := p.press
	press("2")
	p.says("h1", "Keys")
	p.says(".list", "1 of 1 keys")
	press("/")
	p.has("document.activeElement.id === 'prefix'")
	press("a")
	p.has("document.querySelector('.list .before')?.innerText === 'a'")
	for range 4 { // the revision, Show, New key, and the first key
		press("Tab")
	}
	press("Enter")
	p.says(".detail .value", "1")
	p.has("document.activeElement.closest('.list')")
	for text, n := "", 0; text != "Delete …"; p.eval("document.activeElement.innerText", &text) {
		n++
		if press("Tab"); n > 30 {
			t.Fatal("the key Tab never comes to the button")
		}
	}
	p.has("getComputedStyle(document.activeElement).outlineStyle !== 'none'") // one sees where one is
	press("Enter")
	p.says("dialog", "a is deleted")
	p.has("document.activeElement.innerText === 'Cancel'")
	press("Tab")
	press("Enter")
	p.says("main", "No key begins so.")
	p.eval("document.activeElement.blur(), true", new(bool))
	press("5")
	p.says("h1", "Members")
	p.has("document.activeElement.id === 'main'")
}

// TestPagesFit looks at all pages on a desktop and on a phone: nothing is wider than the window, each has a
// heading and a title, all fields have labels, and all buttons names.
func TestPagesFit(t *testing.T) {
	t.Parallel()
	c := start(t, 3, "--ui-writes")
	c.balsa("put", "a/key/that/is/"+strings.Repeat("very-", 30)+"long", strings.Repeat("a value without any space", 40))
	c.balsa("lease", "grant", "600")
	c.balsa("role", "add", strings.Repeat("role-", 30))
	c.balsa("role", "grant", strings.Repeat("role-", 30), "read", strings.Repeat("key-", 30))
	for _, width := range []int64{wide, phone} {
		p := open(t, c.servers[0].url(), width, high)
		p.says("h1", "leads")
		for name, ready := range map[string]string{"cluster": "leads", "keys?key=a/key/that/is/" + strings.Repeat("very-", 30) + "long": "without any space", "watch?on=yes": "Watching", "leases": "1 of 1 leases", "members": "n3", "users": "1 of 1 roles"} {
			p.visit("#/" + name)
			p.says("main", ready)
			p.has("document.documentElement.scrollWidth <= window.innerWidth")
			p.has("document.querySelectorAll('main h1').length === 1 && document.title.endsWith('· balsa')")
			p.has("[...document.querySelectorAll('input, textarea')].every((e) => e.labels.length > 0)")
			p.has("[...document.querySelectorAll('button, a')].every((e) => (e.innerText || e.getAttribute('aria-label') || e.textContent).trim())")
			for _, dark := range []bool{true, false} {
				p.dark(dark)
				p.has(fmt.Sprintf("(getComputedStyle(document.body).backgroundColor === 'rgb(16, 23, 26)') === %t", dark))
			}
		}
	}
}
