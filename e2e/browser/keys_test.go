package browser

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// focus returns the text of what has the focus.
func (b *tab) focus() string {
	b.Helper()
	return eval[string](b, "document.activeElement.innerText ?? ''")
}

// TestRetryByKeyboard retries dead letters from the first screen on, without a mouse.
func TestRetryByKeyboard(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "")
	b.loaded()
	for range 30 {
		if b.press(kb.Tab); b.focus() == "Dead letters" {
			break
		}
	}
	b.press(kb.Enter)
	b.waitText("tbody", answer422)
	b.press("j", "j")
	if b.focus() != answer422 {
		t.Errorf("after j, j the focus is on %q", b.focus())
	}
	b.press("k", "r")
	b.waitText("dialog", "Retry 27 events?")
	b.waitText("dialog", answer502)
	if asked := f.changes(); len(asked) != 1 || !strings.Contains(asked[0], "dry_run=1") {
		t.Errorf("before the confirmation it asked for %q", asked)
	}
	b.press(kb.Enter)
	b.waitText("#toasts", "27 events will be delivered again.")
	asked := f.changes()
	for _, part := range []string{"retry?", "cause=502", "consumer=bot", "rate=10", "state=dead"} {
		if !strings.Contains(asked[1], part) {
			t.Errorf("the retry is %s, without %s", asked[1], part)
		}
	}
	if len(asked) != 2 || strings.Contains(asked[1], "dry_run") {
		t.Errorf("it asked for %q", asked)
	}
}

// TestSelect selects events by keyboard, and lets the selection go.
func TestSelect(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#events?state=dead")
	b.loaded()
	b.press("j", "x", "j", "x", "j", "x", "x")
	b.waitText(".tools", "2 rows selected.")
	b.press("r")
	b.waitText("dialog", "Retry 2 events?")
	b.press(kb.Escape)
	b.wait("!document.querySelector('dialog')")
	b.press(kb.Escape)
	b.wait("document.querySelector('.tools').hidden")
	if asked := f.changes(); len(asked) != 0 {
		t.Errorf("it asked for %q", asked)
	}

	b.press("j", "x", "r")
	b.waitText("dialog", "Retry 1 event?")
	b.press(kb.Enter)
	b.waitText("#toasts", "1 event will be delivered again.")
	id := f.data.events[46].id()
	if want := []string{"events/" + id + "/retry?consumer=bot"}; !slices.Equal(f.changes(), want) {
		t.Errorf("it asked for %q, want %q", f.changes(), want)
	}
}

// TestAllThatMatch discards a selection that is larger than a page.
func TestAllThatMatch(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#events?state=delivered&field=messages")
	b.loaded()
	b.run("document.querySelector('thead input').click()")
	b.click("Select all that match")
	b.click("Discard…")
	b.waitText("dialog", "Discard 27 events?")
	b.waitText("dialog", "state: delivered · field: messages")
	if b.focus() != "Cancel" {
		t.Errorf("the focus is on %q: Enter would discard", b.focus())
	}
	b.click("Discard")
	b.waitText("#toasts", "27 events discarded.")
	want := []string{"discard?dry_run=1&field=messages&state=delivered", "discard?field=messages&state=delivered"}
	if !slices.Equal(f.changes(), want) {
		t.Errorf("it asked for %q, want %q", f.changes(), want)
	}
}

// TestFilter filters by keyboard. The filters are in the address, and the focus stays.
func TestFilter(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#events?state=dead")
	b.loaded()
	b.press("/", "4", "8", "1", "8", kb.Enter)
	b.waitText("tbody", "48189")
	b.wait("location.hash === '#events?state=dead&id=4818'")
	b.wait("document.activeElement.name === 'id'")
	b.press("r", "x") // letters, while one types
	b.press(kb.Escape, "?")
	b.waitText("dialog", "Keys")
	b.press(kb.Escape)
	b.wait("!document.querySelector('dialog')")
	if asked := f.changes(); len(asked) != 0 {
		t.Errorf("it asked for %q", asked)
	}
}

// TestReadOnly looks at a page that allows no changes.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	f.allow = nil
	b := open(t, f.page(), "")
	for _, screen := range []string{"overview", "events", "dead", fmt.Sprint("event/", f.data.events[60].id())} {
		b.visit(screen)
		b.press("j", "r", "x")
		if found := b.text("main"); strings.Contains(found, "Retry…") || strings.Contains(found, "Discard…") || strings.Contains(found, "Pause\n") {
			t.Errorf("%s offers changes:\n%s", screen, found)
		}
	}
	b.waitText("#toasts", "You may only look")
	if asked := f.changes(); len(asked) != 0 {
		t.Errorf("it asked for %q", asked)
	}
}

// TestStores chooses one of two stores.
func TestStores(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	other := maps.Clone(f.data.stores[0])
	other["store"] = "/var/lib/caddy/other.db"
	f.data.stores = append(f.data.stores, other)
	b := open(t, f.page(), "#events")
	asked := func() string {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.store
	}
	b.loaded()
	if store := asked(); store != f.data.stores[0]["store"] {
		t.Errorf("it asked the store %q", store)
	}
	b.run("{ const s = document.querySelector('#store select'); s.selectedIndex = 1; s.dispatchEvent(new Event('change')); }")
	b.wait("location.hash.includes('other.db')")
	harness.Wait(t, "it asks the other store", func() bool { return asked() == other["store"] })
	b.click("Overview")
	b.waitText(".status", "other.db")
	if n := eval[int](b, "document.querySelectorAll('.status').length"); n != 1 {
		t.Errorf("%d stores are shown", n)
	}
}
