package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/event"
)

// otherSecret is that of a second app.
const otherSecret = "5d41402abc4b2a76b9719d911017c592"

// promised is an event that was sent and is to come.
type promised struct {
	event.Event
	secret string
	uri    string
}

// TestQueueDeliversEverySample sends all samples, signed by two apps in turn and
// to different URLs, and compares what the application gets of each event.
func TestQueueDeliversEverySample(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `instagram_webhook {
		verify_token x
		app_secret one %s
		app_secret two %s
	}
	instagram_queue {
		store sqlite %q
		min_free_space 0B
		reverse_proxy %s {
			header_up X-Secret {instagram.secret}
			header_up X-Id {instagram.id}
			header_up X-Conversation {instagram.conversation}
			header_up X-Count {instagram.count}
			header_up X-Size {instagram.size}
		}
	}`, harness.Secret, otherSecret, caddy.Queue, app.Addr)

	client := caddy.Client(t, harness.HTTP1)
	promises := make(map[string][]promised) // by identity
	total := 0
	samples := append(harness.Samples(t),
		harness.Sample{Name: "no JSON", Body: []byte("\xff\x00 is no JSON")}, harness.Sample{Name: "nothing"})
	for i, sample := range samples {
		secret := []string{harness.Secret, otherSecret}[i%2]
		p := promised{secret: secret, uri: fmt.Sprintf("/webhooks/%d%%2F?sample=%[1]d&q=%%20a+b", i)}
		req := harness.NewDelivery(t, harness.Protocols[i%2], "http://hooks.example.com:81"+p.uri, p.secret, sample.Body)
		if answer := client.Do(t, req); answer.Status != http.StatusOK || len(answer.Body) != 0 {
			t.Fatalf("%s is answered with %d %q", sample.Name, answer.Status, answer.Body)
		}
		for _, e := range event.Split(sample.Body) {
			id := e.ID()
			known := slices.ContainsFunc(promises[id], func(other promised) bool { return other.secret == p.secret })
			if e.NotUnique() || !known {
				p.Event = e
				promises[id] = append(promises[id], p)
				total++
			}
		}
	}
	if total < 1030 {
		t.Errorf("only %d events in all samples", total)
	}

	keys := make(map[string]bool)
	conversations := make(map[string][]string)
	for _, got := range app.WaitDelivered(t, total) {
		key := got.Header.Get("Idempotency-Key")
		if keys[key] {
			t.Errorf("%s came twice", key)
		}
		keys[key] = true
		id := got.Header.Get("X-Id")
		if len(promises[id]) == 0 {
			t.Errorf("%s was not sent", id)
			continue
		}
		p := promises[id][0]
		promises[id] = promises[id][1:]
		checkPromise(t, &p, &got)
		if c := p.Conversation(); c != "" {
			conversations[c] = append(conversations[c], p.uri)
		}
	}
	for id, left := range promises {
		if len(left) > 0 {
			t.Errorf("%s did not come", id)
		}
	}
	for conversation, uris := range conversations {
		if !slices.IsSortedFunc(uris, func(a, b string) int { return number(t, a) - number(t, b) }) {
			t.Errorf("the events of %s came out of order: %q", conversation, uris)
		}
	}
}

// number returns which sample was sent to a URI.
func number(t *testing.T, uri string) int {
	t.Helper()
	text, _, _ := strings.Cut(strings.TrimPrefix(uri, "/webhooks/"), "%")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkPromise compares a request with what queue.Handler documents.
func checkPromise(t *testing.T, want *promised, got *harness.Attempt) {
	t.Helper()
	id, about := want.ID(), want.Attributes()
	if string(got.Body) != string(want.Envelope()) {
		t.Errorf("%s: the body is %.300q, want %.300q", id, got.Body, want.Envelope())
	}
	if got.URI != want.uri || got.Host != "hooks.example.com:81" {
		t.Errorf("%s: came to %s%s, want %s", id, got.Host, got.URI, want.uri)
	}
	identity := got.Header.Get("Idempotency-Key")
	if !want.NotUnique() && identity != id || !strings.HasPrefix(identity, id) {
		t.Errorf("%s: Idempotency-Key is %q", id, identity)
	}
	headers := map[string]string{
		"Content-Type":         about.DataContentType,
		"Content-Length":       strconv.Itoa(len(got.Body)),
		"X-Hub-Signature-256":  "sha256=" + harness.HMAC(want.secret, got.Body),
		"X-Hub-Signature":      "",
		"Transfer-Encoding":    "",
		"Ce-Specversion":       "1.0",
		"Ce-Id":                identity,
		"Ce-Type":              about.Type,
		"Ce-Source":            about.Source,
		"Ce-Subject":           about.Subject,
		"Ce-Time":              "",
		"X-Instagram-Attempt":  "1",
		"X-Instagram-Consumer": "default",
		"X-Secret":             map[string]string{harness.Secret: "one", otherSecret: "two"}[want.secret],
		"X-Conversation":       want.Conversation(),
		"X-Count":              "1",
		"X-Size":               strconv.Itoa(len(got.Body)),
	}
	if !about.Time.IsZero() {
		headers["Ce-Time"] = about.Time.Format(time.RFC3339Nano)
	}
	for name, want := range headers {
		value := got.Header.Get(name)
		if strings.HasPrefix(name, "Ce-") {
			var err error
			if value, err = url.PathUnescape(value); err != nil {
				t.Errorf("%s: %s: %v", id, name, err)
			}
		}
		if value != want || len(got.Header[name]) > 1 {
			t.Errorf("%s: %s is %q, want %q", id, name, got.Header[name], want)
		}
	}
}

// TestQueueRepeatsTheSameRequest has an application that checks the signature and
// fails twice: nothing but the number of the attempt may change.
func TestQueueRepeatsTheSameRequest(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Times: 2, Status: 500}, harness.Rule{Secret: harness.Secret})
	caddy := harness.NewCaddy(t)
	caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
	body := harness.Messages("c.0")
	caddy.Deliver(t, body, 200)
	caddy.Deliver(t, body, 200) // is a duplicate
	caddy.WaitMetric(t, `queue_events_total{consumer="",field="messages",result="duplicate"}`, 1)
	attempts := app.WaitDelivered(t, 1)
	caddy.WaitQueueEmpty(t)
	if len(app.WaitIdle(t)) != 3 {
		t.Fatalf("%d attempts, want 3", len(app.WaitIdle(t)))
	}
	first := attempts[0]
	for i, got := range attempts {
		if n := got.Header.Get("X-Instagram-Attempt"); n != strconv.Itoa(i+1) {
			t.Errorf("attempt %d has the number %q", i+1, n)
		}
		if string(got.Body) != string(first.Body) || got.URI != first.URI || got.Host != first.Host {
			t.Errorf("attempt %d is another request", i+1)
		}
		for name := range first.Header {
			if name != "X-Instagram-Attempt" && !slices.Equal(got.Header[name], first.Header[name]) {
				t.Errorf("attempt %d has %s %q, want %q", i+1, name, got.Header[name], first.Header[name])
			}
		}
	}
}
