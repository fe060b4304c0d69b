package queue

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// cameIn returns a request as a server has it before its handlers run.
func cameIn(remote, client string, trusted bool, header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://hooks.example.com/webhooks", nil)
	r.RemoteAddr, r.Header = remote, header
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.TrustedProxyVarKey: trusted,
		caddyhttp.ClientIPVarKey:     client,
	})
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, &caddyhttp.Server{ClientIPHeaders: []string{"Cf-Connecting-IP", "x-real-ip"}})
	return r.WithContext(ctx)
}

// TestOriginSurvivesTheQueue rebuilds requests from what was stored of them.
func TestOriginSurvivesTheQueue(t *testing.T) {
	t.Parallel()
	said := func(pairs ...string) http.Header {
		header := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			header.Add(pairs[i], pairs[i+1])
		}
		return header
	}
	all := said("X-Forwarded-For", "198.51.100.7", "X-Forwarded-For", "10.0.0.9", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "hooks.example.com", "X-Forwarded-Port", "443", "Forwarded", "for=198.51.100.7;proto=https",
		"X-Real-Ip", "198.51.100.7", "Cf-Connecting-Ip", "198.51.100.7", "Cookie", "a=b", "X-Hub-Signature", "sha1=00")
	judged := said("X-Forwarded-For", "198.51.100.7", "X-Forwarded-For", "10.0.0.9", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "hooks.example.com")
	believed := all.Clone()
	believed.Del("Cookie")
	believed.Del("X-Hub-Signature")
	long := said("X-Forwarded-For", strings.Repeat("198.51.100.7, ", 200), "X-Forwarded-Proto", "https")
	for name, c := range map[string]struct {
		remote, client string
		trusted        bool
		header, want   http.Header
		stored         string // if it is to be nothing but this
	}{
		"direct":                    {"203.0.113.9:4711", "203.0.113.9", false, said("User-Agent", "Webhooks/1.0"), said(), "203.0.113.9:4711"},
		"IPv6":                      {"[2001:db8::9%eth0]:4711", "2001:db8::9", false, said(), said(), "[2001:db8::9%eth0]:4711"},
		"mapped":                    {"[::ffff:1.2.3.4]:5", "1.2.3.4", false, said(), said(), ""},
		"trusted proxy":             {"10.0.0.5:4711", "198.51.100.7", true, all, believed, ""},
		"trusted, says nothing":     {"10.0.0.5:4711", "10.0.0.5", true, said(), said(), "10.0.0.5:4711?trusted=1"},
		"trusted by its socket":     {"@", "198.51.100.7", true, all, believed, ""},
		"untrusted":                 {"203.0.113.9:4711", "203.0.113.9", false, all, judged, ""},
		"untrusted on a socket":     {"@", "", false, said(), said(), "@"},
		"chain without end":         {"10.0.0.5:4711", "198.51.100.7", true, long, said("X-Forwarded-Proto", "https"), ""},
		"says nothing, many times":  {"10.0.0.5:4711", "10.0.0.5", true, http.Header{"X-Forwarded-For": nil}, said(), "10.0.0.5:4711?trusted=1"},
		"looks like stored":         {"203.0.113.9:4711", "203.0.113.9", false, said("Trusted", "1", "Client", "10.0.0.1", "X-Forwarded-Host", "a&trusted=1&client=10.0.0.1"), said("X-Forwarded-Host", "a&trusted=1&client=10.0.0.1"), ""},
		"signs in a proxy's header": {"10.0.0.5:4711", "10.0.0.5", true, said("X-Forwarded-Signature", "\xff\x00 %&=+;"), said("X-Forwarded-Signature", "\xff\x00 %&=+;"), ""},
	} {
		e := newEvent()
		e.Origin = originOf(cameIn(c.remote, c.client, c.trusted, c.header)).String()
		if c.stored != "" && e.Origin != c.stored {
			t.Errorf("%s: stored as %q, want %q", name, e.Origin, c.stored)
		}
		if most := 4*maxForwarded + 100; len(e.Origin) > most {
			t.Errorf("%s: takes %d bytes", name, len(e.Origin))
		}
		plain, err := queue.NewRequest(t.Context(), newEvent())
		if err != nil {
			t.Fatal(err)
		}
		r, err := queue.NewRequest(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if r.RemoteAddr != c.remote {
			t.Errorf("%s: comes from %s, want %s", name, r.RemoteAddr, c.remote)
		}
		maps.DeleteFunc(r.Header, func(name string, _ []string) bool { return plain.Header[name] != nil })
		if !maps.EqualFunc(r.Header, c.want, slices.Equal) {
			t.Errorf("%s: %v, want %v", name, r.Header, c.want)
		}
		// What a server would work out now does not count.
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, new(caddyhttp.Server))
		setVars(r.Context(), queue.OriginFromContext(r.Context()))
		if got := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey); got != c.trusted {
			t.Errorf("%s: trusted: %v, want %t", name, got, c.trusted)
		}
		if got := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey); got != c.client {
			t.Errorf("%s: the client is %q, want %q", name, got, c.client)
		}
	}
}

// TestWhatNoSignatureCoversIsBounded sends what anybody can put around a body that
// is signed: each event is stored with it.
func TestWhatNoSignatureCoversIsBounded(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/webhooks", nil)
	r.Header.Set("X-Forwarded-For", strings.Repeat("%", 2000))
	r.Header.Set("X-Forwarded-Proto", "https")
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	stored := originOf(r).String()
	if len(stored) > maxForwarded+100 || !strings.Contains(stored, "https") {
		t.Errorf("%d bytes are stored: %.200q", len(stored), stored)
	}

	s := newStubStore(t)
	long := httptest.NewRequest(http.MethodPost, "/webhooks?"+strings.Repeat("a", maxURL), nil)
	if _, err := serveStubTo(startedHandler(t, s), stubDelivery(stubSeveral), long); !errors.Is(err, errLongURL) {
		t.Errorf("a long URL: %v", err)
	}
	if stored := s.taken(); len(stored) > 0 {
		t.Errorf("%d events are stored with it", len(stored))
	}
}

// newEvent returns a stored event.
func newEvent() *queue.Event {
	return &queue.Event{Record: queue.Record{Identity: "instagram/1/comments/2", URL: "https://hooks.example.com/webhooks"}}
}
