package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

const (
	watchedAccount = "17841400000000001"
	watchedToken   = "IGAA-s3cr3t-token-of-the-account"
	tokenKey       = "mY9q-Zt3pW8xL2vB6nR4kD7sF1gH5jC0"
)

// newGraph is a Graph API with an account that is subscribed to comments only.
func newGraph() *graphtest.Server {
	return graphtest.New(graphtest.State{
		Apps: []*graphtest.App{{ID: "1234567890", Callbacks: []*graphtest.Callback{
			{Object: "instagram", URL: "https://hooks.example.com/", Fields: []string{"comments", "messages"}}}}},
		Accounts: []*graphtest.Account{{ID: watchedAccount, Name: "gardens", Subscribed: map[string][]string{"1234567890": {"comments"}}}},
		Tokens:   []*graphtest.Token{{Value: watchedToken, App: "1234567890", Account: watchedAccount}},
	})
}

// startGraph starts that, and returns its URL.
func startGraph(t *testing.T) (meta *graphtest.Server, url string) {
	t.Helper()
	meta = newGraph()
	server := httptest.NewServer(meta)
	t.Cleanup(server.Close)
	return meta, server.URL
}

// watched are the global options for the account.
func watched(graphURL, more string) string {
	return fmt.Sprintf(`metrics
	auto_https off
	instagram {
		token_key {env.IG_TOKEN_KEY}
		account %s {
			token managed
			fields comments messages
			reconcile repair
			graph_url %s
			%s
		}
	}`, watchedAccount, graphURL, more)
}

// accountOf returns how the account is doing, as a Caddy says.
func accountOf(t *testing.T, c *harness.Caddy) (status admin.AccountStatus) {
	t.Helper()
	var found []admin.AccountStatus
	if text := c.AdminGet(t, "/instagram/accounts"); json.Unmarshal([]byte(text), &found) != nil || len(found) != 1 {
		t.Fatal(text)
	}
	return found[0]
}

// importToken imports the token by a command, which reads it from its standard input.
func importToken(t *testing.T, c *harness.Caddy, token string) (string, error) {
	t.Helper()
	cmd := c.Command("instagram", "token", "import", "--account", watchedAccount, "--token-file", "-", "--address", c.Admin)
	cmd.Stdin = strings.NewReader(token + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// changeState changes the state of the accounts in Caddy's storage.
func changeState(t *testing.T, state string, change func(kept map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	change(kept)
	if text, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	whole := state + ".new" // it may be read just now
	if err := errors.Join(os.WriteFile(whole, text, 0o600), os.Rename(whole, state)); err != nil {
		t.Fatal(err)
	}
}

// endLease has the lease of a gateway that was killed end now instead of 45 seconds after it
// last said something. Until then no other one writes to the state.
func endLease(t *testing.T, state string) {
	t.Helper()
	changeState(t, state, func(kept map[string]any) {
		lease, held := kept["lease"].(map[string]any)
		if !held || lease["by"] == nil {
			t.Fatalf("nobody has a lease: %v", kept)
		}
		lease["until"] = time.Now().UTC()
	})
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	meta, url := startGraph(t)
	c := harness.NewCaddy(t, "IG_TOKEN_KEY="+tokenKey)
	c.Options = watched(url, "")
	site := c.Site("handle /webhooks {\n%s\nrespond ok\n}", harness.Webhook)

	if out, err := c.Run("validate", "--config", c.Config(t, site)); err != nil {
		t.Fatalf("validate: %v\n%s", err, out)
	}
	if _, err := os.Stat(c.Out("data/caddy/instagram")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("validate wrote to the storage: %v", err)
	}
	if n := len(meta.Requests()); n != 0 {
		t.Errorf("validate asked Meta %d times", n)
	}

	c.Start(t, site)
	harness.Wait(t, "the missing token to be told of", func() bool { return strings.Contains(accountOf(t, c).ToDo, "token import") })
	if out, err := importToken(t, c, "IGAA-s3cr3t-of-nobody"); err == nil || !strings.Contains(out, "code 190") || strings.Contains(out, "s3cr3t") {
		t.Errorf("a token of nobody: %v\n%s", err, out)
	}
	if out, err := importToken(t, c, watchedToken); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	harness.Wait(t, "the account to be subscribed again", func() bool { return accountOf(t, c).Subscription == "complete" })
	if got := meta.State().Accounts[0].Subscribed["1234567890"]; !slices.Equal(got, []string{"comments", "messages"}) {
		t.Errorf("subscribed to %v", got)
	}

	// A delivery that nobody splits counts as an event.
	sender := c.Client(t, harness.HTTP1)
	defer sender.Close()
	sender.Deliver(t, []byte(`{"object":"instagram","entry":[{"id":"`+watchedAccount+`","time":1,"changes":[{"field":"comments","value":{"id":"1"}}]}]}`))
	if accountOf(t, c).LastEvent.IsZero() {
		t.Error("no event came")
	}

	asked := len(meta.Requests())
	c.Reload(t, site)
	c.Reload(t, site)
	dump := c.AdminGet(t, "/config/")
	if !strings.Contains(dump, "{env.IG_TOKEN_KEY}") {
		t.Error("the config has no placeholder")
	}
	harness.Wait(t, "the metrics of the new config", func() bool {
		return strings.Contains(c.AdminGet(t, "/metrics"), `caddy_instagram_account_missing_fields{account="`+watchedAccount+`"} 0`)
	})
	if n := len(meta.Requests()) - asked; n != 0 {
		t.Errorf("reloads asked Meta %d times", n)
	}
	table, err := c.Run("instagram", "accounts", "--address", c.Admin)
	if err != nil || !strings.Contains(table, "2 of 2") {
		t.Errorf("%v\n%s", err, table)
	}
	written := c.Written(t)
	written["the config"], written["the table"] = dump, table
	written["the metrics"] = c.AdminGet(t, "/metrics")
	written["the admin API"] = c.AdminGet(t, "/instagram/accounts")
	sealed := false
	for where, text := range written {
		sealed = sealed || strings.HasSuffix(where, watchedAccount+".token")
		for _, secret := range []string{"s3cr3t", tokenKey} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is in %s", where)
			}
		}
	}
	if !sealed {
		t.Error("the token is nowhere")
	}
}

// TestAccountIsNotRepairedWhileFilesRefuse has an account that is checked while its events
// cannot be written to a file, and once they can be.
func TestAccountIsNotRepairedWhileFilesRefuse(t *testing.T) {
	t.Parallel()
	_, url := startGraph(t)
	c := harness.NewCaddy(t, "IG_TOKEN_KEY="+tokenKey)
	c.Options = watched(url, "")
	obstacle := c.Out("events/comments.jsonl")
	if err := os.MkdirAll(obstacle, 0o700); err != nil { // a directory where the file is to be
		t.Fatal(err)
	}
	c.Start(t, c.Site("handle /webhooks {\n%s\ninstagram_file %q\n}", harness.Webhook, c.Out("events/{instagram.field}.jsonl")))
	comment := []byte(`{"object":"instagram","entry":[{"id":"` + watchedAccount + `","time":1,"changes":[{"field":"comments","value":{"id":"1"}}]}]}`)
	check := func() { // each import has the account checked at once
		t.Helper()
		if out, err := importToken(t, c, watchedToken); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	c.Deliver(t, comment, http.StatusServiceUnavailable)
	check()
	harness.Wait(t, "the account to be checked", func() bool { return accountOf(t, c).Subscription != "" })
	if a := accountOf(t, c); a.Subscription != "missing" || !strings.Contains(a.ToDo, "refuses deliveries") {
		t.Errorf("while deliveries are refused: %+v", a)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	c.Deliver(t, comment, http.StatusOK)
	check()
	harness.Wait(t, "the account to be subscribed again", func() bool { return accountOf(t, c).Subscription == "complete" })
}

// TestAccountsOfTwoGateways kills the one of two gateways with one storage that has just
// begun to look after the account.
func TestAccountsOfTwoGateways(t *testing.T) {
	t.Parallel()
	meta := newGraph()
	var mu sync.Mutex
	began := make(chan string, 100) // whose requests came
	release := make(chan struct{})
	first := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whose := r.URL.Path[1:2]
		mu.Lock()
		isFirst := first == "" || first == whose
		if first == "" {
			first = whose
		}
		mu.Unlock()
		began <- whose
		if isFirst {
			<-release
			return
		}
		http.StripPrefix("/"+whose, meta).ServeHTTP(w, r)
	}))
	defer server.Close()
	defer close(release)

	storage := t.TempDir()
	gateways := map[string]*harness.Caddy{}
	for _, name := range []string{"a", "b"} {
		c := harness.NewCaddy(t, "ACCOUNT_TOKEN="+watchedToken)
		c.Options = fmt.Sprintf("storage file_system %s\n%s", storage, withTokenInEnv(watched(server.URL+"/"+name, "")))
		c.Start(t, c.Site("respond ok"))
		gateways[name] = c
	}
	killed := <-began
	gateways[killed].Kill(t)
	other := gateways[map[string]string{"a": "b", "b": "a"}[killed]]
	endLease(t, filepath.Join(storage, "instagram", "accounts", "state.json"))
	harness.Wait(t, "the other gateway to take over", func() bool { return accountOf(t, other).Subscription == "complete" })
	repairs := 0
	for _, r := range meta.Requests() {
		if r.Method == http.MethodPost {
			repairs++
		}
	}
	if repairs != 1 {
		t.Errorf("repaired %d times", repairs)
	}
}
