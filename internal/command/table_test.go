package command

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// allAccounts has an account for each state, with texts of the greatest length.
func allAccounts() *accountStatuses {
	at := time.Now().Add(-119 * time.Minute)
	a := admin.AccountStatus{Account: "17841400000000001", Login: "instagram", Fields: make([]string, 20), Missing: make([]string, 10), LastEvent: at, LastCheck: at}
	s := new(accountStatuses)
	for _, subscription := range []string{"", "complete", "missing", "flapping", "uncertain"} {
		for _, token := range []string{"valid", "ends", "dead", "unknown"} {
			a.Subscription, a.Token.State, a.Token.Expires, a.Token.AtLatest = subscription, token, time.Now(), true
			a.ToDo = "not subscribed to comments and messages: see 'caddy instagram subscriptions set'"
			s.Accounts = append(s.Accounts, a)
		}
	}
	return s
}

// TestTablesFit80Columns prints the tables with the longest rows there are. Piped, they
// are whole.
func TestTablesFit80Columns(t *testing.T) {
	t.Parallel()
	fields, err := listFields(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	every := graph.InstagramLogin.Fields()
	for name, r := range map[string]result{
		"fields":        fields,
		"subscriptions": &accountSubscriptions{Subscriptions: []graph.Subscription{{App: "1234567890123456", Fields: every}}},
		"accounts":      allAccounts(),
		"callbacks":     &appCallbacks{Callbacks: []graph.Callback{{Object: "instagram", URL: "https://hooks.example.com/webhooks", Fields: every}}},
	} {
		var piped, out bytes.Buffer
		r.text(&console{out: &piped})
		r.text(&console{out: &out, err: new(bytes.Buffer), width: 80})
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSpace(line))); n > 80 && !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: a row has %d columns: %s", name, n, line)
			}
		}
		if out.String() == piped.String() {
			t.Errorf("%s: it fits anyway", name)
		}
	}
}
