package simulate

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

const testToken = "token-of-the-tests"

// startCaddy serves instagram_webhook and instagram_file behind it, as a Caddyfile
// would, and returns its URL.
func startCaddy(t *testing.T, path, format string) string {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	webhook := &handler.Handler{VerifyTokens: []string{testToken}, AppSecrets: []handler.AppSecret{{Secret: gatewaySecret}}}
	files := &file.Handler{Path: path, Format: format}
	if err := errors.Join(webhook.Provision(ctx), webhook.Validate(), files.Provision(ctx), files.Validate()); err != nil {
		t.Fatal(err)
	}
	end := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		err := webhook.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return files.ServeHTTP(w, r, end)
		}))
		var refused caddyhttp.HandlerError
		switch {
		case errors.As(err, &refused):
			w.WriteHeader(refused.StatusCode)
		case err != nil:
			t.Errorf("Caddy failed: %v", err)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		if err := errors.Join(files.Cleanup(), webhook.Cleanup()); err != nil {
			t.Error(err)
		}
	})
	return server.URL + "/webhooks"
}

// TestRunAgainstCaddy acts as Meta against the handlers of this project, and finds every
// acknowledged event in the file; and one less when a line is taken away.
func TestRunAgainstCaddy(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"cloudevents", "meta", "raw"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "events.jsonl")
			c := &Client{URL: startCaddy(t, path, format), Secret: gatewaySecret}
			defer c.Close()

			if o := c.Verify(t.Context(), testToken); !o.OK() {
				t.Fatalf("verification: %+v", o)
			}
			if o := c.Verify(t.Context(), "another"); o.Status != http.StatusForbidden || !errors.Is(o.Err, ErrChallenge) {
				t.Errorf("verification with a wrong token: %+v", o)
			}
			ledger := mustOpen(t, filepath.Join(t.TempDir(), "acknowledged.txt"))
			made := Sample{Seed: 6, Fields: []string{"comments", "messages", "story_insights", "standby", "message_reactions"}, Batch: 4}
			sum, err := (&Run{
				Client: c, Deliveries: Take(made.Deliveries(), 150), Concurrency: 4, Ledger: ledger, Retry: true,
				Faults: Faults{Seed: 6, Duplicates: 0.1, BadSignatures: 0.1, OutOfOrder: true},
			}).Do(t.Context())
			if err != nil || !sum.AsExpected() || sum.Forged == 0 || sum.Duplicates == 0 || sum.Status(401) != sum.Forged || sum.Status(200) != sum.Accepted {
				t.Fatalf("%+v, %v", sum, err)
			}
			if want := 4 * (150 - sum.Forged); ledger.Len() != want {
				t.Errorf("%d in the ledger, not %d", ledger.Len(), want)
			}
			report, err := ledger.Verify(EventFiles(path))
			if err != nil || report.Missing != nil || report.Found != ledger.Len() || report.Others != 0 || report.Malformed != 0 || report.Repeated != 4*sum.Duplicates {
				t.Errorf("%+v, %v", report, err)
			}

			// Take away every line of one event or, where lines are deliveries,
			// of one delivery.
			kept, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var gone []string
			var rest strings.Builder
			for text := range strings.Lines(string(kept)) {
				l, err := parseLine([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if gone == nil {
					gone = slices.Sorted(slices.Values(l.ids()))
				}
				if !slices.Contains(gone, l.ids()[0]) {
					rest.WriteString(text)
				}
			}
			report, err = ledger.Verify(EventFiles(write(t, "events.jsonl", rest.String())))
			if err != nil || !slices.Equal(report.Missing, gone) || report.Found != ledger.Len()-len(gone) {
				t.Errorf("%+v without %q, %v", report, gone, err)
			}
		})
	}
}

// TestFullBatch sends as much as Meta does at once.
func TestFullBatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	c := &Client{URL: startCaddy(t, path, "cloudevents"), Secret: gatewaySecret}
	defer c.Close()
	var ledger Ledger
	made := Sample{Seed: 1, Fields: []string{"comments", "messages"}, Batch: meta.MaxUpdates}
	sum, err := (&Run{Client: c, Deliveries: Take(made.Deliveries(), 2), Ledger: &ledger}).Do(t.Context())
	if err != nil || sum.Accepted != 2 || sum.Acknowledged != 2*meta.MaxUpdates || sum.Bytes < 2*200_000 {
		t.Errorf("%+v, %v", sum, err)
	}
	if report, err := ledger.Verify(EventFiles(path)); err != nil || report.Found != 2*meta.MaxUpdates || report.Missing != nil {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	c := &Client{URL: startCaddy(t, filepath.Join(t.TempDir(), "events.jsonl"), "meta"), Secret: "another secret"}
	defer c.Close()
	if o := c.Deliver(t.Context(), []byte(readFile(t, "bodies", "comment.json"))); o.Status != http.StatusUnauthorized || o.OK() {
		t.Errorf("%+v", o)
	}
}
