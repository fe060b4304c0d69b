package queue

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// stubSigner signs with itself as the key.
type stubSigner string

func (s stubSigner) Sign(body []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write(body)
	mac.Sum(sum[:0])
	return sum
}

func stubDelivery(body string) *event.Delivery {
	return &event.Delivery{Body: []byte(body), Secret: "instagram", Signer: stubSigner("a secret")}
}

const (
	stubComment  = `{"object":"instagram","entry":[{"id":"178","time":1767225600,"changes":[{"field":"comments","value":{"id":"179","from":{"id":"5"},"media":{"id":"180"},"text":"\u00e9"}}]}]}`
	stubMessage  = `{"object":"instagram","entry":[{"id":"178","time":1767225600000,"messaging":[{"sender":{"id":"5"},"recipient":{"id":"178"},"timestamp":1767225600000,"message":{"mid":"m1","text":"x"}}]}]}`
	stubButton   = `{"object":"instagram","entry":[{"id":"0","time":1767225600,"changes":[{"field":"messages","value":{"sender":{"id":"12334"},"recipient":{"id":"23245"},"timestamp":"1527459824","message":{"mid":"random_mid","text":"random_text"}}}]}]}`
	stubSeveral  = `{"object":"instagram","entry":[{"id":"178","time":1767225600,"changes":[{"field":"comments","value":{"id":"1"}},{"field":"mentions","value":{"media_id":"2","comment_id":"3"}}]},{"id":"179","time":1767225600,"changes":[{"field":"comments","value":{"id":"4"}},{"field":"of_tomorrow","value":{"id":"5"}}]}]}`
	stubUnparsed = "not\x00JSON"
)

func stubStatus(t *testing.T, err error) int {
	t.Helper()
	var handled caddyhttp.HandlerError
	if !errors.As(err, &handled) {
		t.Fatalf("got %v, want an error with a status", err)
	}
	return handled.StatusCode
}

func TestHandlerNotAuthenticated(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	// Caddy would log an error together with the URI, in which the verify token may be.
	w, err := serveStub(startedHandler(t, s), nil)
	if err != nil || w.Code != http.StatusInternalServerError {
		t.Errorf("got %d, %v", w.Code, err)
	}
	if taken := s.taken(); len(taken) > 0 {
		t.Errorf("accepted %v", taken)
	}
}

func TestHandlerAccepts(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s)
	for _, body := range []string{stubComment, stubMessage, stubButton, stubSeveral, stubUnparsed, ""} {
		d := stubDelivery(body)
		w, err := serveStub(h, d)
		if err != nil || w.Code != http.StatusOK || w.Body.Len() > 0 || !d.Accepted() {
			t.Errorf("%q: got %d, %v, accepted: %t", body, w.Code, err, d.Accepted())
		}
		taken := s.taken()
		if len(taken) != len(d.Events()) {
			t.Fatalf("%q: got %d events, want %d", body, len(taken), len(d.Events()))
		}
		for i, r := range taken {
			e := &d.Events()[i]
			if r.Account != e.Account || r.Field != e.Field || r.NotUnique != e.NotUnique() || r.Secret != "instagram" || string(r.Body) != string(e.Envelope()) {
				t.Errorf("%q: event %d became %+v", body, i, r)
			}
			if r.Signature != stubSigner("a secret").Sign(r.Body) {
				t.Errorf("%q: the signature of event %d is not that of its body", body, i)
			}
		}
	}
}

func TestHandlerAnswersAfterAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStubStore(t)
		commit := make(chan struct{})
		s.accept = func([]queue.Record) ([]bool, error) {
			<-commit
			return nil, nil
		}
		c := newStubConfig(t)
		h := c.mustHandler(t, s)
		c.start(t)
		d, w := stubDelivery(stubComment), httptest.NewRecorder()
		w.Code = 0
		served := make(chan error, 1)
		go func() {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			served <- h.ServeHTTP(w, r.WithContext(event.NewContext(r.Context(), d)), nil)
		}()
		synctest.Wait()
		if w.Code != 0 || d.Accepted() || len(served) > 0 {
			t.Error("answered before the store had the events")
		}
		close(commit)
		if err := <-served; err != nil || w.Code != http.StatusOK || !d.Accepted() {
			t.Errorf("got %d, %v, accepted: %t", w.Code, err, d.Accepted())
		}
		c.unload()
	})
}

func TestHandlerStoreRefuses(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	h := startedHandler(t, s)
	for _, reason := range []error{queue.ErrFull, queue.ErrClosed, errors.New("the disk burns")} {
		s.accept = func([]queue.Record) ([]bool, error) { return nil, reason }
		d := stubDelivery(stubComment)
		w, err := serveStub(h, d)
		if got := stubStatus(t, err); got != http.StatusServiceUnavailable || !errors.Is(err, reason) {
			t.Errorf("%v: got %v", reason, err)
		}
		if failure := d.Failure(); !errors.Is(failure, reason) {
			t.Errorf("%v: the delivery has failed with %v", reason, failure)
		}
		if w.Code != 0 || w.Header().Get("Retry-After") != "30" || d.Accepted() {
			t.Errorf("%v: %d was written, with %v, accepted: %t", reason, w.Code, w.Header(), d.Accepted())
		}
	}
	if h.queue.store.RefusingSince().IsZero() {
		t.Error("the store does not know that it refuses")
	}
	s.accept = nil
	d := stubDelivery(stubComment)
	if w, err := serveStub(h, d); err != nil || w.Code != http.StatusOK || !d.Accepted() {
		t.Errorf("got %d, %v once the store accepts", w.Code, err)
	}
	if since := h.queue.store.RefusingSince(); !since.IsZero() {
		t.Errorf("the store refuses since %v, but it accepts", since)
	}
}

// TestHandlerCounts is not parallel: all queues count together.
func TestHandlerCounts(t *testing.T) {
	s := newStubStore(t)
	s.accept = func([]queue.Record) ([]bool, error) { return []bool{true, false}, nil }
	h := startedHandler(t, s, func(h *Handler) { h.Fields = []string{"comments"} })
	events := queue.Collectors()[0].(*prometheus.CounterVec)
	count := func(result queue.Result, field string) float64 {
		return testutil.ToFloat64(events.WithLabelValues(string(result), "", field))
	}
	type labels struct {
		result queue.Result
		field  string
	}
	want := map[labels]float64{
		{queue.ResultAccepted, "comments"}:  1,
		{queue.ResultDuplicate, "comments"}: 1,
		{queue.ResultSkipped, "mentions"}:   1,
		{queue.ResultSkipped, "other"}:      1,
		{queue.ResultAccepted, "mentions"}:  0,
	}
	before := make(map[labels]float64)
	for l := range want {
		before[l] = count(l.result, l.field)
	}
	if _, err := serveStub(h, stubDelivery(stubSeveral)); err != nil {
		t.Fatal(err)
	}
	for l, n := range want {
		if got := count(l.result, l.field) - before[l]; got != n {
			t.Errorf("counted %v %v times, want %v", l, got, n)
		}
	}
}

func TestHandlerBeforeTheStoreIsOpen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		then  func(t *testing.T, c *stubConfig, hangUp func())
		taken bool
	}{
		{"opened in time", func(t *testing.T, c *stubConfig, _ func()) { c.start(t) }, true},
		{"never opened", func(*testing.T, *stubConfig, func()) {}, false},
		{"hung up", func(_ *testing.T, _ *stubConfig, hangUp func()) { hangUp() }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStubStore(t)
				c := newStubConfig(t)
				h := c.mustHandler(t, s)
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				d, w := stubDelivery(stubComment), httptest.NewRecorder()
				served := make(chan error, 1)
				go func() {
					r := httptest.NewRequestWithContext(event.NewContext(ctx, d), http.MethodPost, "/", nil)
					served <- h.ServeHTTP(w, r, nil)
				}()
				synctest.Wait()
				if len(served) > 0 || d.Accepted() {
					t.Error("did not wait for the store")
				}
				tc.then(t, c, hangUp)
				err := <-served
				if tc.taken {
					if err != nil || !d.Accepted() || len(s.taken()) != 1 {
						t.Errorf("got %v, accepted: %t", err, d.Accepted())
					}
				} else if got := stubStatus(t, err); got != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || d.Accepted() {
					t.Errorf("got %v with %v, accepted: %t", err, w.Header(), d.Accepted())
				}
				c.unload()
			})
		})
	}
}
