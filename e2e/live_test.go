package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// liveStream is what an admin endpoint tells as it happens.
type liveStream struct {
	lines *bufio.Scanner
	text  strings.Builder // all that has come
	last  string          // the last number
}

// watchLive begins to watch, after the last number that was told before.
func watchLive(t *testing.T, caddy *harness.Caddy, last string) *liveStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	t.Cleanup(cancel)
	req := harness.NewRequest(t, http.MethodGet, "http://"+caddy.Admin+"/instagram/live", nil).WithContext(ctx)
	req.Header.Set("Last-Event-ID", last)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	s := &liveStream{lines: bufio.NewScanner(resp.Body)}
	if s.wait("id: ") == "" { // else what happens next might be missed
		t.Fatal("the stream did not begin")
	}
	return s
}

// wait returns the next line that begins so, or "" if the stream ends before.
func (s *liveStream) wait(prefix string) string {
	for s.lines.Scan() {
		line := s.lines.Text()
		s.text.WriteString(line + "\n")
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			s.last = id
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}

// until reads until it has been told of everything: a delivery may be attempted before the
// gateway tells of it.
func (s *liveStream) until(t *testing.T, everything func() bool) {
	t.Helper()
	for !everything() {
		if s.wait("data: ") == "" {
			t.Fatalf("not everything was told:\n%s", &s.text)
		}
	}
}

// TestLive watches a Caddy over a reload, with the next admin endpoint, and until it ends:
// Caddy does not wait for who watches.
func TestLive(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	queue := harness.QuickRetry + "reverse_proxy " + app.Addr
	caddy.ServeQueue(t, queue)

	before := watchLive(t, caddy, "")
	caddy.Deliver(t, harness.Messages("a.0"), http.StatusOK)
	before.until(t, func() bool {
		told := before.text.String()
		return strings.Contains(told, `"status":200,"field":"messages","account":"17841400000000001"`) &&
			strings.Contains(told, `"consumer":"default","id":"1","attempt":1`)
	})
	caddy.ReloadQueue(t, queue)
	caddy.Deliver(t, harness.Messages("a.1"), http.StatusOK)
	for before.wait("event: ") != "" { // until it ends; it may tell of the delivery
	}

	after := watchLive(t, caddy, before.last)
	caddy.Deliver(t, harness.Messages("a.2"), http.StatusOK)
	told := func() string { return before.text.String() + after.text.String() }
	after.until(t, func() bool {
		return strings.Count(told(), "event: delivery") >= 3 && strings.Contains(told(), `"id":"3"`)
	})
	for part, want := range map[string]int{`"id":"1"`: 1, `"id":"2"`: 1, `"id":"3"`: 1, "event: delivery": 3, "event: missed": 0, "message": 3 * 2, "of <a>": 0} {
		if n := strings.Count(told(), part); n != want {
			t.Errorf("%s was told %d times, want %d", part, n, want)
		}
	}
	caddy.Stop()
	if !caddy.Succeeded() {
		t.Error("Caddy did not end as it should")
	}
	if strings.Contains(caddy.Output(), "shutting down admin server") {
		t.Error("Caddy waited for who watched")
	}
}
