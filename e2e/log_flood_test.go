package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestStoreErrorsDoNotFloodTheLog sends many deliveries that cannot be stored,
// which must not make a line each.
func TestStoreErrorsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s", strings.ReplaceAll(failing(t, caddy), "HOST", "queue"))
	client := caddy.Client(t, harness.HTTP1)
	const many = 200
	for path, text := range map[string]string{
		"/queue": "accepting the delivery", "/file": "writing the delivery", "/untaken": "no handler took the delivery",
	} {
		client.URL = caddy.Base("127.0.0.1") + path
		before := strings.Count(caddy.Output(), text)
		began := time.Now()
		for range many {
			if answer := client.Deliver(t, []byte("{}")); answer.Status != http.StatusServiceUnavailable {
				t.Fatalf("%s: status %d, want 503", path, answer.Status)
			}
		}
		caddy.WaitOutput(t, text)
		// A line a second, of up to two kinds: of the error and of the refusal.
		lines, took := strings.Count(caddy.Output(), text)-before, time.Since(began)
		if lines > 2*(int(took.Seconds())+1) {
			t.Errorf("%s: %d refused deliveries made %d lines within %s", path, many, lines, took)
		}
	}
}

// TestFloodOfForgeriesDoesNotFillTheLog sends many forgeries of one kind: the
// log tells of one a second and counts the others, until the very last.
func TestFloodOfForgeriesDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s\nrespond taken", harness.Webhook)
	const senders, each = 4, 250
	began := time.Now()
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			client := caddy.Client(t, harness.HTTP1)
			for range each {
				answer, err := client.Try(harness.NewDelivery(t, harness.HTTP1, caddy.URL, "another key", []byte("{}")))
				if err != nil || answer.Status != http.StatusUnauthorized {
					t.Errorf("answered %v, %v", answer, err)
					return
				}
			}
		})
	}
	running.Wait()
	seconds := int(time.Since(began)/time.Second) + 1
	caddy.Stop()

	lines, counted := 0, 0
	for line := range strings.Lines(caddy.Output()) {
		var record struct {
			Msg     string
			Reason  string
			LeftOut *int `json:"left_out"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if record.Reason != "signature_mismatch" || record.LeftOut == nil {
			continue
		}
		lines++
		counted += *record.LeftOut
		if record.Msg == "request refused" {
			counted++
		}
	}
	if counted != senders*each {
		t.Errorf("the log accounts for %d refusals, want %d", counted, senders*each)
	}
	if lines > seconds+1 { // the last tells what was left out at the end
		t.Errorf("%d lines about forgeries in less than %d seconds", lines, seconds)
	}
}
