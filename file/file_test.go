package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/event"
)

func provisioned(t testing.TB, path string, adjust ...func(*Handler)) *Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	h := &Handler{Path: path, Format: formatRaw}
	for _, a := range adjust {
		a(h)
	}
	if err := errors.Join(h.Provision(ctx), h.Validate()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// serve sends a delivery through h and reports whether it was passed on.
func serve(h *Handler, d *event.Delivery) (passed bool, err error) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	if d != nil {
		r = r.WithContext(event.NewContext(r.Context(), d))
	}
	err = h.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		passed = true
		return nil
	}))
	return passed, err
}

func TestFileAppendsLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "directory", "events.jsonl")
	h := provisioned(t, path)
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("provisioning made something on disk")
	}
	var want strings.Builder
	for _, tc := range []struct{ name, body, line string }{
		{"as it came", `{"object": "instagram", "text": "\u00e9\/"}`, `{"object": "instagram", "text": "\u00e9\/"}`},
		{"indented", "{\n  \"id\": 17841400000000000001,\r\n\t\"text\": \"a b\\n\"\n}\n", `{"id":17841400000000000001,"text":"a b\n"}`},
		{"empty", "", `{"data_base64":""}`},
		{"not JSON", "a=b", `{"data_base64":"YT1i"}`},
		{"not JSON, two lines", "a\nb\xff", `{"data_base64":"YQpi/w=="}`},
	} {
		d := &event.Delivery{Body: []byte(tc.body)}
		passed, err := serve(h, d)
		if err != nil || !passed || !d.Accepted() {
			t.Fatalf("%s: passed on: %t, accepted: %t, %v", tc.name, passed, d.Accepted(), err)
		}
		if string(d.Body) != tc.body {
			t.Errorf("%s: the body was changed to %q", tc.name, d.Body)
		}
		want.WriteString(tc.line + "\n")
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want.String() {
		t.Errorf("got %q, %v; want %q", got, err, want.String())
	}
}

func TestFileConcurrentLinesStayWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	handlers := []*Handler{provisioned(t, path), provisioned(t, path)}
	const senders, each = 8, 50
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf(`{"id":"%d-%d","text":%q}`, s, i, strings.Repeat("x", 100*i))
				if _, err := serve(handlers[s%2], &event.Delivery{Body: []byte(body)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	seen := make(map[string]bool)
	for _, line := range lines {
		var s, i int
		if _, err := fmt.Sscanf(line, `{"id":"%d-%d",`, &s, &i); err != nil || line != fmt.Sprintf(`{"id":"%d-%d","text":%q}`, s, i, strings.Repeat("x", 100*i)) {
			t.Fatalf("torn line %q", line)
		}
		seen[line] = true
	}
	if len(lines) != senders*each || len(seen) != senders*each {
		t.Errorf("got %d lines, %d of them different; want %d", len(lines), len(seen), senders*each)
	}
}

func TestFileRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := func() *event.Delivery { return &event.Delivery{Body: []byte("{}")} }
	for _, tc := range []struct {
		name, path string
		delivery   *event.Delivery
		status     int
	}{
		{"a directory", dir, d(), http.StatusServiceUnavailable},
		{"below a file", filepath.Join(plain, "events.jsonl"), d(), http.StatusServiceUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			passed, err := serve(provisioned(t, tc.path), tc.delivery)
			var handled caddyhttp.HandlerError
			if !errors.As(err, &handled) || handled.StatusCode != tc.status || passed {
				t.Errorf("got %v, passed on: %t; want %d", err, passed, tc.status)
			}
			if tc.delivery.Accepted() {
				t.Error("the delivery is accepted, but not written")
			}
			if failure := tc.delivery.Failure(); !errors.As(failure, &handled) || handled.StatusCode != tc.status {
				t.Errorf("the delivery has failed with %v, want %d", failure, tc.status)
			}
		})
	}
}

// TestFileRefusesWhatIsNotAuthenticated, without an error: Caddy would log that
// together with the URI, in which the verify token may be.
func TestFileRefusesWhatIsNotAuthenticated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	h := provisioned(t, path)
	w := httptest.NewRecorder()
	err := h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil), caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return errors.New("it was passed on")
	}))
	if err != nil || w.Code != http.StatusInternalServerError {
		t.Errorf("got %d, %v", w.Code, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestFileProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "{env.FILE_TEST_UNSET}", "/var/log/{nonesuch}.jsonl"} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		if err := (&Handler{Path: path}).Provision(ctx); err == nil {
			t.Errorf("%q: no error", path)
		}
	}
}

// TestFileCountersExistFromTheStart holds that the first increase of a counter
// can be seen.
func TestFileCountersExistFromTheStart(t *testing.T) {
	t.Parallel()
	provisioned(t, filepath.Join(t.TempDir(), "events.jsonl"))
	registry := prometheus.NewRegistry()
	if err := registry.Register(events); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("got %d metrics, %v", len(families), err)
	}
	there := make(map[string]bool)
	for _, m := range families[0].GetMetric() {
		there[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = true
	}
	for _, result := range []string{"written", "skipped", "failed"} {
		for _, field := range []string{"comments", "messages", "messaging_seen", "unparsed", "other"} {
			if !there[result+" "+field] {
				t.Errorf("there is no series of %s for %s", result, field)
			}
		}
	}
}
