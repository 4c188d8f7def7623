package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/compat/rig"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of all tests.
var chromium context.Context

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("chromium"); err != nil {
		fmt.Println("the tests in a browser are SKIPPED: there is no chromium (Debian: apt-get install chromium)")
		os.Exit(0)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	var first context.CancelFunc
	chromium, first = chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {})) // it knows not all events
	code := 0
	if err := chromedp.Run(chromium); err == nil {
		code = rig.Run(m)
	} else {
		fmt.Println("the tests in a browser are SKIPPED: chromium does not start:", err)
	}
	first()
	end()
	os.Exit(code)
}

// tab is a tab of the browser. What the page's script does wrong fails the test.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	expected []string // parts of errors that are no mistake
	wrong    []string
}

// open opens a tab with a page of the dashboard, of so many pixels.
func open(t testing.TB, url string, width, height int64) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium)
	p := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.heard)
	p.do(log.Enable(), emulation.SetFocusEmulationEnabled(true), emulation.SetDeviceMetricsOverride(width, height, 1.5, width < 600))
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, text := range p.wrong {
			t.Error(text)
		}
	})
	p.do(chromedp.Navigate(url))
	return p
}

// heard notes what the browser says.
func (p *tab) heard(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = fmt.Sprint("exception: ", e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			text = fmt.Sprint("console: ", e.Args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			text = "log: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *page.EventJavascriptDialogOpening:
		text = "a dialog: " + e.Message
	}
	if text == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range p.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	p.wrong = append(p.wrong, text)
}

// expect says of which errors the browser may tell.
func (p *tab) expect(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, parts...)
}

func (p *tab) do(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, rig.Patience)
	defer cancel()
	// The first Run of a tab must have its own context: the tab ends with it.
	if chromedp.FromContext(p.ctx).Target == nil {
		if err := chromedp.Run(p.ctx); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.shot(filepath.Join(os.TempDir(), "balsa-browser-failed.png"))
		p.t.Fatalf("%v; a picture is in %s", err, os.TempDir())
	}
}

// eval is the value of an expression.
func (p *tab) eval(expression string, into any) {
	p.t.Helper()
	p.do(chromedp.Evaluate(expression, into))
}

// has waits until an expression is true.
func (p *tab) has(expression string) {
	p.t.Helper()
	var is bool
	for deadline := time.Now().Add(rig.Patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if p.eval("Boolean("+expression+")", &is); is {
			return
		}
	}
	var shown string
	p.eval("document.body.innerText", &shown)
	p.shot(filepath.Join(os.TempDir(), "balsa-browser-failed.png"))
	p.t.Fatalf("%s never became true; a picture is in %s, and the page says:\n%s", expression, os.TempDir(), shown)
}

// says waits until an element has a text.
func (p *tab) says(selector, text string) {
	p.t.Helper()
	p.has(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))", selector, text))
}

// silent waits until no element has a text.
func (p *tab) silent(selector, text string) {
	p.t.Helper()
	p.has(fmt.Sprintf("![...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))", selector, text))
}

// click clicks on the first element that a selector finds, has a text, and can be clicked on.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	mark := fmt.Sprintf(`(() => {
		document.querySelectorAll('[data-test]').forEach((e) => e.removeAttribute('data-test'));
		const e = [...document.querySelectorAll(%q)].find((e) => e.innerText.includes(%q) && !e.disabled && e.offsetParent);
		if (e) { e.setAttribute('data-test', 'x'); e.scrollIntoView({ block: 'center' }); }
		return e;
	})()`, selector, text)
	p.has(mark)
	p.do(chromedp.Click("[data-test]", chromedp.ByQuery))
}

// fill types a text into a field, in the stead of what is there.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.has(fmt.Sprintf("(() => { const e = document.querySelector(%q); e?.focus(); e?.select(); return e && document.activeElement === e; })()", selector))
	if text == "" {
		p.press("Delete")
		return
	}
	p.do(input.InsertText(text))
}

// login fills in the form of a user, and sends it.
func (p *tab) login(user, password string) {
	p.fill("#user", user)
	p.fill("#password", password)
	p.click("button", "Log in")
}

// visit goes to another page of the dashboard.
func (p *tab) visit(hash string) {
	p.t.Helper()
	p.eval(fmt.Sprintf("location.hash = %q; true", hash), new(bool))
}

// shot makes a picture.
func (p *tab) shot(path string) {
	ctx, cancel := context.WithTimeout(p.ctx, rig.Patience)
	defer cancel()
	var png []byte
	if err := chromedp.Run(ctx, chromedp.CaptureScreenshot(&png)); err != nil {
		p.t.Log(err)
		return
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Error(err)
	}
}

// press presses a key, as a keyboard does: what the page does about it comes before the letter.
func (p *tab) press(key string) {
	p.t.Helper()
	down := input.DispatchKeyEvent(input.KeyDown).WithKey(key)
	if k, ok := named[key]; ok {
		down = down.WithCode(key).WithWindowsVirtualKeyCode(k.code).WithText(k.text)
	} else {
		down = down.WithText(key)
	}
	p.do(down, input.DispatchKeyEvent(input.KeyUp).WithKey(key))
}

// named are keys that are no letters.
var named = map[string]struct {
	code int64
	text string
}{"Tab": {9, ""}, "Enter": {13, "\r"}, "Escape": {27, ""}, "Delete": {46, ""}}

// dark is the system's wish for dark colours.
func (p *tab) dark(yes bool) {
	p.t.Helper()
	value := "light"
	if yes {
		value = "dark"
	}
	p.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}))
}
