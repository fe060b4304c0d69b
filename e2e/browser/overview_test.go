package browser

import (
	"strings"
	"testing"
	"time"
)

// TestOverviewShowsWhatExpires shows each kind of what expires, and marks what does so soon, or
// has done so.
func TestOverviewShowsWhatExpires(t *testing.T) {
	t.Parallel()
	d := calm()
	d.expiries = []m{
		{"what": "certificate", "name": "old.example.com", "at": before(50 * time.Hour), "soon": true},
		{"what": "token", "name": account, "at": before(-4*24*time.Hour - time.Hour), "soon": true},
		{"what": "client_ca", "name": "Meta Outbound API CA", "at": before(-35*24*time.Hour - time.Hour)},
		{"what": "token", "name": "17841400008460056", "at": before(-50*24*time.Hour - time.Hour)},
	}
	b := open(t, newFake(t, d).page(), "#overview")
	const rows = `[...document.querySelectorAll("section.card")].find((s) => s.querySelector("h2")?.textContent === "What expires")?.querySelectorAll("tbody tr") ?? []`
	b.wait("(" + rows + ").length")
	got := eval[[]string](b, `[...(`+rows+`)].map((r) => [...r.cells].map((c) => c.innerText.trim()).join("|") + (r.querySelector(".bad") ? "|bad" : ""))`)
	want := []string{
		"Certificate|old.example.com|2 days ago|bad",
		"Access token|" + account + "|in 4 days|bad",
		"Meta's CA|Meta Outbound API CA|in 35 days",
		"Access token|17841400008460056|in 50 days",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
