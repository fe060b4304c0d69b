package browser

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// hostile are texts that want to be more than text.
var hostile = strings.Join([]string{
	`<img src=x onerror="document.title='pwned'">`,
	`</script><script>document.title='pwned'</script>`,
	`"><svg onload=document.title='pwned'>`,
	`javascript:document.title='pwned'`,
	"\u202egnp.elif\u202c",
	"\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0633\u0644\u0627\u0645",
	"\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f1f3\U0001f1f4",
	"{{1+1}} ${1+1} %3Cimg%3E &lt;img&gt; \x00\x1b[31m\u0085",
	strings.Repeat("w", 300),
}, " ")

// poison makes every text of an answer hostile, but those that the page depends on.
func poison(value any) any {
	switch value := value.(type) {
	case []m:
		poisoned := make([]m, len(value))
		for i := range value {
			poisoned[i] = poison(value[i]).(m)
		}
		return poisoned
	case m:
		poisoned := m{}
		for name, of := range value {
			if name == "consumers" {
				if by, ok := of.(m); ok {
					of = m{hostile: by["bot"]}
				}
			}
			if poisoned[name] = poison(of); slices.Contains([]string{"id", "state", "lane", "sample"}, name) {
				poisoned[name] = of
			}
		}
		return poisoned
	case string:
		if _, err := time.Parse(time.RFC3339Nano, value); err != nil {
			return hostile
		}
	}
	return value
}

// newest has as many digits as an id can have, and more than a number of JavaScript holds.
const newest = 18446744073709551615

func poisoned() data {
	clean := calm()
	clean.events = nil
	clean.addEvents(newest)
	d := data{
		minutes: poison(clean.minutes).(m), dead: poison(clean.dead).(m), events: clean.events,
		headers: [][]string{{hostile, hostile}},
	}
	for to, from := range map[*[]m][]m{
		&d.stores: clean.stores, &d.accounts: clean.accounts, &d.secrets: clean.secrets, &d.refusals: clean.refusals,
	} {
		*to = poison(from).([]m)
	}
	for _, e := range d.events {
		e.shown, e.history = poison(e.shown).(m), poison(e.history).([]m)
		e.raw, e.masked = `{"text":"`+hostile+`","id":18446744073709551615,"also":"\u202e\u05e9<img src=x>\ud83d"} `+hostile, hostile
	}
	d.events[0].blockedBy = d.events[4].id()
	return d
}

// TestHostile shows texts of others on every screen. None may become more than text.
func TestHostile(t *testing.T) {
	t.Parallel()
	f := newFake(t, poisoned())
	b := open(t, f.page(), "")
	check := func(screen string) {
		t.Helper()
		if title := eval[string](b, "document.title"); title == "pwned" {
			t.Errorf("%s: a text was run", screen)
		}
		for selector, want := range map[string]int{"script": 1, "img": 1, "main svg:not(figure svg)": 0, "a[href^='javascript']": 0, "[onerror], [onload], [style]": 0} {
			if n := eval[int](b, "document.querySelectorAll(`"+selector+"`).length"); n != want {
				t.Errorf("%s: there are %d of %s, want %d", screen, n, selector, want)
			}
		}
		text := b.text("main")
		if !strings.Contains(text, `<img src=x onerror="document.title='pwned'">`) || !strings.Contains(text, `\u202egnp.elif\u202c`) {
			t.Errorf("%s: a text is not shown as it is:\n%.600s", screen, text)
		}
		if strings.ContainsAny(text, "\u202e\u202c\x00\x1b\u0085") {
			t.Errorf("%s: a hidden character stayed hidden", screen)
		}
		if wide := eval[int](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
			t.Errorf("%s: it is %d pixels wider than the window", screen, wide)
		}
	}
	for _, size := range []size{desktop, phone} {
		b.do(resize(size))
		for _, screen := range []string{"overview", "events", "event/18446744073709551615", "dead", "refusals"} {
			b.visit(screen)
			check(screen)
		}
		b.visit("event/18446744073709551615")
		b.click("Reveal")
		b.waitText("pre", "18446744073709551615")
		check("revealed")
		b.visit("live")
		b.waitText(".connection", "Connected")
		f.send(t, message("attempt", m{
			"time": before(0), "error": hostile, "field": hostile, "account": hostile, "consumer": hostile,
			"id": "18446744073709551615", "attempt": 2, "took": .2, "conversation": hostile,
		})+message("refusal", m{"time": before(0), "reason": hostile, "status": 401, "client_ip": hostile}))
		b.wait("document.querySelectorAll('main tbody tr').length === 2")
		check("live")
	}
}

// TestIDs follows an event with the largest id from list to list.
func TestIDs(t *testing.T) {
	t.Parallel()
	f := newFake(t, poisoned())
	b := open(t, f.page(), "#events")
	b.loaded()
	ids := eval[[]string](b, "[...document.querySelectorAll('tbody td:last-child')].map((e) => e.innerText)")
	for i, id := range ids {
		if want := f.data.events[i].id(); id != want {
			t.Errorf("row %d has the id %s, want %s", i, id, want)
		}
	}
	if len(ids) != 100 { // 50 events, for two consumers each
		t.Errorf("%d rows are shown, want 100", len(ids))
	}
	b.click("Older →")
	b.waitText("tbody", f.data.events[100].id())
	b.visit("events")
	b.press("j", "j", "\r")
	b.waitText("h1", "18446744073709551615")
	if where := eval[string](b, "location.hash"); !strings.HasPrefix(where, "#event/18446744073709551615") {
		t.Errorf("the address of the event is %s", where)
	}
}
