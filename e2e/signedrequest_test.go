package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// signedSite is a site with the webhook and both callbacks, whose events go to content.
func signedSite(c *harness.Caddy, content string) string {
	return c.Site(`handle /webhooks {
	%[1]s
	%[3]s
}
handle /meta/deauthorize {
	instagram_signed_request deauthorize {
		app_secret %[2]s
	}
	%[3]s
}
handle /meta/deletion* {
	instagram_signed_request deletion {
		app_secret %[2]s
		status_url https://hooks.example.com/meta/deletion/{code}
	}
	%[3]s
}
handle {
	respond 404
}`, harness.Webhook, harness.Secret, content)
}

// postSigned sends what Meta posts to a callback, and returns the answer of 200 to it.
func postSigned(t *testing.T, c *harness.Caddy, path, user string) simulate.Outcome {
	t.Helper()
	o := sendSigned(t, c, path, user)
	if !o.OK() {
		t.Fatalf("%s: %+v", path, o)
	}
	return o
}

// sendSigned sends what Meta posts to a callback, and returns what became of it.
func sendSigned(t *testing.T, c *harness.Caddy, path, user string) simulate.Outcome {
	t.Helper()
	client := &simulate.Client{URL: strings.TrimSuffix(c.URL, "/webhooks") + path, Secret: harness.Secret, Timeout: harness.Timeout}
	defer client.Close()
	return client.Send(t.Context(), client.SignedRequest(simulate.SignedRequest{User: user, Issued: time.Now()}))
}

// TestDeletion follows a request for deletion through a whole gateway: the form of Meta's,
// the event, the consumer, the command that erases, the bytes in the files, and the page
// for who asked.
func TestDeletion(t *testing.T) {
	t.Parallel()
	const (
		person, words    = "17841400000000777", "what-nobody-else-wrote"
		other, theirText = "17841400000000888", "what-another-one-wrote"
	)
	app := harness.StartApp(t)
	c := harness.NewCaddy(t)
	c.Start(t, signedSite(c, fmt.Sprintf("instagram_queue {\nstore sqlite %q\n%sreverse_proxy %s\n}", c.Queue, harness.QuickRetry, app.Addr)))
	message := func(from, mid, text string) string {
		return fmt.Sprintf(`{"sender":{"id":"%s"},"recipient":{"id":"17841400000000001"},"timestamp":1790000000000,"message":{"mid":"%s","text":"%s"}}`, from, mid, text)
	}
	c.Deliver(t, harness.Messaging(message(person, "m1", words), message(other, "m2", theirText)), http.StatusOK)

	var answer struct {
		URL  string `json:"url"`
		Code string `json:"confirmation_code"`
	}
	if o := postSigned(t, c, "/meta/deletion", person); json.Unmarshal(o.Answer, &answer) != nil || answer.Code == "" {
		t.Fatalf("the answer is %s", o.Answer)
	}
	found := false
	for _, a := range app.WaitDelivered(t, 3) {
		if strings.HasSuffix(a.Header.Get("Ce-Type"), ".deletion") {
			found = true
			if !strings.Contains(string(a.Body), answer.Code) || a.Header.Get("X-Hub-Signature-256") != "sha256="+harness.HMAC(harness.Secret, a.Body) {
				t.Errorf("the application got %q %s", a.Header, a.Body)
			}
		}
	}
	if !found {
		t.Error("the application got no deletion")
	}

	c.WaitQueueEmpty(t) // what was taken is settled a little later
	kept := func() (text string) {
		for where, content := range c.Written(t) {
			if strings.HasPrefix(filepath.Base(where), filepath.Base(c.Queue)) {
				text += content
			}
		}
		return text
	}
	if text := kept(); !strings.Contains(text, person) || !strings.Contains(text, words) {
		t.Fatal("the files of the queue do not hold what is to be erased")
	}
	out, err := c.Run("instagram", "queue", "forget", "--user", person, "--reason", "request 4711", "--address", c.Admin)
	if err != nil || !strings.Contains(out, "2 events erased.") {
		t.Fatalf("%v\n%s", err, out)
	}
	text := kept()
	for _, erased := range []string{person, words, answer.Code} {
		if strings.Contains(text, erased) {
			t.Errorf("%s is still in the files of the queue", erased)
		}
	}
	for _, held := range []string{other, theirText} {
		if !strings.Contains(text, held) {
			t.Errorf("%s was erased, too", held)
		}
	}
	if out, err := c.Run("instagram", "queue", "list", "--state", "delivered", "--address", c.Admin); err != nil || strings.Contains(out, person) || strings.Count(out, "erased") < 2 {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(c.Output(), person) {
		t.Error("the log tells whom")
	}

	page := strings.Replace(answer.URL, "https://hooks.example.com", strings.TrimSuffix(c.URL, "/webhooks"), 1)
	if resp, text := ask(t, http.DefaultClient, http.MethodGet, page); resp.StatusCode != http.StatusOK || !strings.Contains(text, "was received on") || strings.Contains(text, person) {
		t.Errorf("the page: %s %s", resp.Status, text)
	}
	last := "x"
	if strings.HasSuffix(page, last) {
		last = "y"
	}
	if resp, text := ask(t, http.DefaultClient, http.MethodGet, page[:len(page)-1]+last); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a page of another code: %s %s", resp.Status, text)
	}
}

// TestDeauthorizedAccountIsNotRepaired has an owner remove the app, and the subscription
// lost with it.
func TestDeauthorizedAccountIsNotRepaired(t *testing.T) {
	t.Parallel()
	meta, url := startGraph(t)
	c := harness.NewCaddy(t, "ACCOUNT_TOKEN="+watchedToken)
	options := withTokenInEnv(watched(url, ""))
	c.Options = options
	site := signedSite(c, "respond ok")
	c.Start(t, site)
	harness.Wait(t, "the account to be subscribed again", func() bool { return accountOf(t, c).Subscription == "complete" })
	repairs := func() (n int) {
		for _, r := range meta.Requests() {
			if r.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	if n := repairs(); n != 1 {
		t.Fatalf("repaired %d times", n)
	}

	postSigned(t, c, "/meta/deauthorize", "17841400000000999") // another app's user
	postSigned(t, c, "/meta/deauthorize", watchedAccount)
	harness.Wait(t, "the deauthorization to be noted", func() bool { return !accountOf(t, c).Deauthorized.IsZero() })
	// Another config has the account looked at anew.
	c.Options = strings.Replace(options, "fields comments messages", "fields comments messages mentions", 1)
	c.Reload(t, site)
	harness.Wait(t, "the missing field to be seen", func() bool { return accountOf(t, c).Subscription == "missing" })
	if a := accountOf(t, c); repairs() != 1 || !strings.Contains(a.ToDo, "took the app's rights away") {
		t.Errorf("repaired %d times: %+v", repairs(), a)
	}
}

// withTokenInEnv has the account of these options take its token from the environment.
func withTokenInEnv(options string) string {
	return strings.NewReplacer("token managed", "token {env.ACCOUNT_TOKEN}", "token_key {env.IG_TOKEN_KEY}", "").Replace(options)
}

// TestDeauthorizationSurvivesACrash kills a gateway after it has answered, while another one
// keeps the state of the accounts to itself. Before, the storage fails.
func TestDeauthorizationSurvivesACrash(t *testing.T) {
	t.Parallel()
	_, url := startGraph(t)
	c := harness.NewCaddy(t, "ACCOUNT_TOKEN="+watchedToken)
	c.Options = withTokenInEnv(watched(url, ""))
	site := signedSite(c, "respond ok")
	c.Start(t, site)
	harness.Wait(t, "the account to be subscribed again", func() bool { return accountOf(t, c).Subscription == "complete" })
	state := c.Out("data/caddy/instagram/accounts/state.json")
	harness.Wait(t, "the work on the account to end", func() bool {
		text, err := os.ReadFile(state)
		return err == nil && !strings.Contains(string(text), `"lease":{"by"`)
	})
	obstacle := filepath.Join(filepath.Dir(state), "deauthorized") // a file where a directory is to be
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := sendSigned(t, c, "/meta/deauthorize", watchedAccount); o.Status != http.StatusServiceUnavailable {
		t.Errorf("what cannot be noted is answered with %+v", o)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	changeState(t, state, func(kept map[string]any) {
		kept["lease"] = map[string]any{"by": "another", "until": time.Now().Add(time.Minute).UTC()}
	})
	postSigned(t, c, "/meta/deauthorize", watchedAccount)
	c.Kill(t)
	endLease(t, state)
	c.Start(t, site)
	harness.Wait(t, "the deauthorization to be noted", func() bool { return !accountOf(t, c).Deauthorized.IsZero() })
}
