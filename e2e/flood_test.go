package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFloodOfForgeriesDoesNotFillTheLog sends many forgeries of one kind: the
// log tells of one a second and counts the others, until the very last.
func TestFloodOfForgeriesDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := startGateway(t, "auto_https off", fmt.Sprintf("http://:%d {\n%s\nrespond taken\n}", port, webhook))
	const senders, each = 4, 250
	began := time.Now()
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
			defer c.close()
			for range each {
				a, err := c.do(delivery(t, http1, "http://hooks.example.com/", "another key", []byte("{}")))
				if err != nil || a.status != http.StatusUnauthorized {
					t.Errorf("answered %v, %v", a, err)
					return
				}
			}
		})
	}
	running.Wait()
	seconds := int(time.Since(began)/time.Second) + 1
	g.stop()

	lines, counted := 0, 0
	for line := range strings.Lines(g.output.String()) {
		var entry struct {
			Msg     string
			Reason  string
			LeftOut *int `json:"left_out"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if entry.Reason != "signature_mismatch" || entry.LeftOut == nil {
			continue
		}
		lines++
		counted += *entry.LeftOut
		if entry.Msg == "request refused" {
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
