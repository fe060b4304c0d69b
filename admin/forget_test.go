package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestForget erases an account, looks at what is left, and tries to deliver it again. The
// parameters are in the body, as the command sends them.
func TestForget(t *testing.T) {
	t.Parallel()
	store := newFullStore(t)
	stores := []Store{store}
	for query, says := range map[string]string{
		"":                      "whose events",
		"?user=1&account=2":     "not two",
		"?user=":                "user is empty",
		"?user=1&dry_run=1":     "true or false",
		"?user=1&consumer=crm":  "no parameter",
		"?message=m&message=n":  "twice",
		"?account=1&reason=%zz": "cannot be read",
	} {
		if w := serve(stores, "POST", "/instagram/queue/forget"+query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %q", query, w.Code, w.Body, says)
		}
	}
	if got := get[Forgotten](t, stores, "POST", "/instagram/queue/forget?account="+testAccount+"&dry_run=true"); got != (Forgotten{Count: 5, DryRun: true}) {
		t.Errorf("dry run: %+v", got)
	}
	core, logs := observer.New(zap.InfoLevel)
	api := &API{Stores: func() []Store { return stores }, Audit: zap.New(core)}
	r := httptest.NewRequest("POST", "/instagram/queue/forget", strings.NewReader("account="+testAccount+"&by=alice&reason=request+4711"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	api.Handler().ServeHTTP(w, r)
	if got := decode[Forgotten](t, w); got != (Forgotten{Count: 5}) {
		t.Errorf("erased: %+v", got)
	}
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["by"] != "alice" || all[0].ContextMap()["events"] != int64(5) ||
		all[0].ContextMap()["reason"] != "request 4711" || all[0].ContextMap()["client"] == "" {
		t.Errorf("the audit log: %+v", all)
	}
	e := get[Event](t, stores, "GET", "/instagram/queue/events/1")
	if e.Erased.IsZero() || e.ErasedBecause != "request 4711" || e.State != queue.Dead || e.Bytes() != nil || e.Account != "erased" ||
		strings.Contains(e.Identity, testAccount) {
		t.Errorf("left: %+v", e)
	}
	if e := get[Event](t, stores, "GET", "/instagram/queue/events/6"); e.State != queue.Erased {
		t.Errorf("what waited is %+v", e)
	}
	if e := get[Event](t, stores, "GET", "/instagram/queue/events/2"); !e.Erased.IsZero() || e.Bytes() == nil {
		t.Errorf("the event of another account is %+v", e)
	}
	for _, id := range []string{"1", "3", "6"} {
		if w := serve(stores, "POST", "/instagram/queue/events/"+id+"/retry"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "was erased at") {
			t.Errorf("retrying %s: %d %s", id, w.Code, w.Body)
		}
	}
	if d := get[Detail](t, stores, "GET", "/instagram/events/1"); d.Headers != nil || d.Text != "" {
		t.Errorf("the detail: %+v", d)
	}
	if got := get[Retried](t, stores, "POST", "/instagram/queue/retry?state=delivered&dry_run=true"); got.Count != 0 {
		t.Errorf("%d would be delivered again", got.Count)
	}
	if got := get[[]Event](t, stores, "GET", "/instagram/queue/events?state=erased"); len(got) != 3 {
		t.Errorf("%d are listed, want 3", len(got))
	}
}

// TestAudit does what the audit log tells of, and what it does not.
func TestAudit(t *testing.T) {
	t.Parallel()
	store := newFullStore(t)
	core, logs := observer.New(zap.InfoLevel)
	api := &API{Stores: func() []Store { return []Store{store} }, Audit: zap.New(core)}
	for _, test := range []struct{ method, path, says string }{
		{"GET", "/instagram/queue/events", ""},
		{"GET", "/instagram/events/1", ""},
		{"POST", "/instagram/events/1/reveal?by=alice", "revealed"},
		{"GET", "/instagram/queue/events/1", "revealed"},
		{"GET", "/instagram/queue/events?bodies=true", "exported"},
		{"POST", "/instagram/queue/discard?state=delivered&dry_run=true", ""},
		{"POST", "/instagram/queue/discard?state=delivered", "discarded"},
		{"DELETE", "/instagram/queue/events/1", "discarded"},
		{"DELETE", "/instagram/queue/events/1", ""}, // it is gone
		{"POST", "/instagram/queue/backup?to=" + t.TempDir() + "/copy.db", "copied"},
		{"POST", "/instagram/queue/forget?user=1&dry_run=true", ""},
		{"POST", "/instagram/queue/forget?user=1", "erased"},
	} {
		w := serveAPI(t.Context(), api, test.method, test.path)
		all := logs.TakeAll()
		switch {
		case test.says == "" && len(all) > 0:
			t.Errorf("%s %s: the log has %v", test.method, test.path, all)
		case test.says != "" && (len(all) != 1 || !strings.Contains(all[0].Message, test.says) || all[0].ContextMap()["store"] != "q"):
			t.Errorf("%s %s: %d, and the log has %v", test.method, test.path, w.Code, all)
		}
	}
}
