package handler

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/live"
)

// A delivery whose text and username must be told nobody.
const private = `{"object":"instagram","entry":[` +
	`{"id":"17841400000000001","time":1767225600,"messaging":[{"sender":{"id":"9000"},"recipient":{"id":"17841400000000001"},` +
	`"timestamp":1767225600000,"message":{"mid":"m1","text":"meet me at noon"}}]},` +
	`{"id":"17841400000000002","time":1767225600,"changes":[{"field":"comments","value":{"id":"7","from":{"id":"8","username":"jane.roe"},"text":"lovely"}}]}]}`

func TestLive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reader, err := f.feed.Read(0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	failing := func(http.ResponseWriter, *http.Request) error {
		return caddyhttp.Error(http.StatusBadGateway, errors.New("meet me at noon"))
	}
	f.serve(t, newDelivery(private))
	f.serve(t, newDelivery(testBody))
	f.serveTo(t, newDelivery(private), failing)
	f.serveTo(t, newDelivery(private), func(http.ResponseWriter, *http.Request) error { return nil }) // nobody takes it
	forged := newDelivery(private)
	forged.Header.Set("X-Hub-Signature-256", sign("another secret", private))
	f.serve(t, forged)

	var batch [20]live.Event
	n, _, _ := reader.Take(batch[:])
	var told []string
	for _, e := range batch[:n] {
		if e.Took < 0 || e.Took > 60 || e.Time.IsZero() || e.ClientIP != "192.0.2.1" {
			t.Errorf("%+v", e)
		}
		told = append(told, fmt.Sprintf("%s %d %s %d %s %s", e.Kind, e.Status, e.Reason, e.Events, e.Field, e.Account))
	}
	if got, want := strings.Join(told, "\n"), `delivery 200  2 messages comments 
delivery 200  1 unparsed 17841400000000001
delivery 502 502 2 messages comments 
refusal 503 untaken 0  
refusal 401 signature_mismatch 0  `; got != want {
		t.Errorf("told was:\n%s\nwant:\n%s", got, want)
	}
	shown := fmt.Sprint(batch[:n], f.feed.Refusals(), f.feed.Accounts())
	for _, text := range []string{"noon", "jane", "lovely", testSecret} {
		if strings.Contains(shown, text) {
			t.Errorf("%q is told: %s", text, shown)
		}
	}
}

func TestAccountsAreKnownIfLookedAfter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.accounts = true
	f.serve(t, newDelivery(private)) // nobody else takes it apart
	if accounts := f.feed.Accounts(); len(accounts) != 2 {
		t.Errorf("accounts: %v", accounts)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	splitting := func(w http.ResponseWriter, r *http.Request) error {
		event.FromContext(r.Context()).Events()
		w.WriteHeader(http.StatusOK)
		return nil
	}
	f.serve(t, newDelivery(testBody)) // not taken apart: its account is not known
	if accounts := f.feed.Accounts(); len(accounts) != 0 {
		t.Errorf("accounts: %v", accounts)
	}
	f.serveTo(t, newDelivery(private), splitting)
	f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusInternalServerError)
		return nil
	})
	f.serve(t, newVerification("hub.mode=subscribe"))
	accounts := f.feed.Accounts()
	if len(accounts) != 2 || accounts[0].Account != "17841400000000001" || accounts[0].Field != "messages" || accounts[1].Field != "comments" {
		t.Errorf("accounts: %v", accounts)
	}
	if refusals := f.feed.Refusals(); len(refusals) != 1 || refusals[0].Reason != "parameter_missing" || refusals[0].Detail == "" {
		t.Errorf("refusals: %+v", refusals)
	}
	accepted, refused := uint32(0), uint32(0)
	counts := f.feed.Counts(time.Now())
	for i := range counts.Accepted { // a minute may have ended meanwhile
		accepted, refused = accepted+counts.Accepted[i], refused+counts.Refused[i]
	}
	if accepted != 2 || refused != 2 {
		t.Errorf("%d accepted and %d refused, want 2 and 2", accepted, refused)
	}
	if secrets := f.feed.AppSecrets(); len(secrets) != 1 || secrets[0].Name != "instagram" || secrets[0].Last.IsZero() {
		t.Errorf("app secrets: %v", secrets)
	}
}
