package browser

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// timeout bounds every wait.
const timeout = harness.Timeout

// tab is a tab of the browser, with a profile of its own.
type tab struct {
	*testing.T
	ctx  context.Context
	base string // of the page

	elsewhere bool // may the browser ask others than the server of the page?

	mu       sync.Mutex
	problems []string
}

// size is that of a window, in pixels of CSS.
type size struct {
	width, height int64
	scale         float64
}

var (
	desktop = size{1280, 800, 1}
	phone   = size{360, 740, 1.5}
)

// open opens the page at a fragment. When the test ends, it fails if the browser complained
// of anything, or asked anybody but the server of the page.
func open(t *testing.T, base, fragment string) *tab {
	t.Helper()
	return openAs(t, base, fragment, desktop, "light")
}

func openAs(t *testing.T, base, fragment string, size size, scheme string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	b := &tab{T: t, ctx: ctx, base: base}
	t.Cleanup(func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Error(problem)
		}
	})
	if err := chromedp.Listen(ctx, b.watch); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", (e) => console.error("policy:", e.violatedDirective, e.blockedURI))`,
	})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.do(resize(size), chromedp.Navigate(base+fragment))
	return b
}

// watch collects what must not happen.
func (b *tab) watch(ev any) {
	problem := ""
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		asked, err := url.Parse(ev.Request.URL)
		if base, _ := url.Parse(b.base); !b.elsewhere && (err != nil || asked.Host != base.Host) {
			problem = "a request to elsewhere: " + ev.Request.URL
		}
	case *runtime.EventExceptionThrown:
		problem = "an exception: " + ev.ExceptionDetails.Text
		if thrown := ev.ExceptionDetails.Exception; thrown != nil {
			problem += " " + thrown.Description
		}
	case *runtime.EventConsoleAPICalled:
		problem = "on the console:"
		for _, arg := range ev.Args {
			problem += " " + string(arg.Value)
		}
	case *log.EventEntryAdded:
		// The browser logs every answer that is an error.
		if ev.Entry.Source != log.EntrySourceNetwork {
			problem = fmt.Sprintf("the browser says: %s %s", ev.Entry.Text, ev.Entry.URL)
		}
	}
	if problem != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, problem)
	}
}

// do runs actions.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	get(b, chromedp.Steps(actions...))
}

// get returns what an action does.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatalf("the browser: %v", err)
	}
	return value
}

// call calls a command of the browser.
func call[P, R any](b *tab, command cdp.Command[P, R], parameters P) R {
	b.Helper()
	return get(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, parameters) })
}

// eval returns the value of an expression, once its promise is kept.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// run runs an expression.
func (b *tab) run(expression string) {
	b.Helper()
	eval[chromedp.Void](b, expression)
}

// wait returns when an expression is true.
func (b *tab) wait(expression string) {
	b.Helper()
	for deadline := time.Now().Add(timeout); !eval[bool](b, "Boolean("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not within %s: %s; the page says:\n%s", timeout, expression, b.text("body"))
		}
	}
}

// waitText returns when the element has a text in it.
func (b *tab) waitText(selector, text string) {
	b.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, text))
}

// text returns the text in an element, or nothing if there is none.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// press presses keys, one after the other. A key whose default is prevented types nothing.
func (b *tab) press(keys ...string) {
	b.Helper()
	for _, key := range keys {
		for _, r := range key {
			strokes := kb.Encode(r)
			down, up := *strokes[0], *strokes[len(strokes)-1]
			if len(strokes) == 3 {
				down.Text = strokes[1].Text
			}
			call(b, input.DispatchKeyEvent, down)
			call(b, input.DispatchKeyEvent, up)
		}
	}
}

// click clicks the first button or link with these words.
func (b *tab) click(words string) {
	b.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll('dialog[open] button, button, a')].find((e) => e.innerText.trim() === %q)", words)
	b.wait(find)
	b.run(find + ".click()")
}

// loaded returns when the screen shows what it was opened for.
func (b *tab) loaded() {
	b.Helper()
	b.wait("document.querySelector('.screen')?.childElementCount > 0 && !document.querySelector('[aria-busy]')")
}

// visit goes to another screen and returns when it is shown.
func (b *tab) visit(fragment string) {
	b.Helper()
	b.run(fmt.Sprintf("location.hash = %q", fragment))
	b.do(chromedp.Reload())
	b.loaded()
}

func resize(size size) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateScale(size.scale))
}
