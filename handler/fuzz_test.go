package handler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// FuzzSignature checks that a header is accepted only if it says, in either
// case, what the HMAC of the body is.
func FuzzSignature(f *testing.F) {
	fixture := newFixture(f)
	right := sign(testSecret, testBody)
	for _, seed := range []string{right, strings.ToUpper(right), right[:70], right + "0", "sha1=" + right[7:], "", "sha256=", strings.Repeat("0", 71)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := newDelivery(testBody)
		r.Header[meta.HeaderSignature] = []string{header}
		a := fixture.serve(t, r)
		authentic := strings.HasPrefix(header, "sha256=") && "sha256="+strings.ToLower(header[7:]) == right
		if a.passed != authentic || (a.Code == http.StatusOK) != authentic {
			t.Errorf("%q: got %d, passed on: %t", header, a.Code, a.passed)
		}
		if !authentic && a.Code != http.StatusUnauthorized {
			t.Errorf("%q: got %d, want 401", header, a.Code)
		}
	})
}

// FuzzVerification checks that no query makes the handler echo anything but a
// harmless challenge to somebody who knows the token.
func FuzzVerification(f *testing.F) {
	fixture := newFixture(f)
	for _, seed := range []string{
		"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=" + testToken,
		"hub.mode=subscribe&hub.challenge=<b>&hub.verify_token=" + testToken,
		"hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=" + testToken,
		"hub%2Emode=subscribe;hub.challenge=1&hub.verify_token=x", "%", "&&&", "=", "",
		"a=%zz;b&hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := newVerification("")
		r.URL.RawQuery = query
		a := fixture.serve(t, r)
		switch a.Code {
		case http.StatusOK:
			q := r.URL.Query()
			if q.Get("hub.verify_token") != testToken || q.Get("hub.mode") != "subscribe" || a.Body.String() != q.Get("hub.challenge") {
				t.Errorf("%q: accepted, answered %q", query, a.Body)
			}
			if strings.ContainsAny(a.Body.String(), "<>\"'&\r\n ") {
				t.Errorf("%q: echoed %q", query, a.Body)
			}
		case http.StatusBadRequest, http.StatusForbidden:
			if a.Body.Len() != 0 {
				t.Errorf("%q: refused with %q", query, a.Body)
			}
		default:
			t.Errorf("%q: got %d", query, a.Code)
		}
		if a.passed {
			t.Error("a GET request reached the next handler")
		}
	})
}

// FuzzBody checks that any body arrives as it was signed, or not at all.
func FuzzBody(f *testing.F) {
	fixture := newFixture(f, func(h *Handler) { h.MaxSize = 1 << 10 })
	f.Add([]byte(testBody), int64(len(testBody)))
	f.Add([]byte{}, int64(-1))
	f.Add([]byte(strings.Repeat("x", 1025)), int64(-1))
	f.Add([]byte(strings.Repeat("x", 1025)), int64(3))
	f.Add([]byte("{}"), int64(1<<40))
	f.Fuzz(func(t *testing.T, body []byte, length int64) {
		if length < 0 {
			length = -1
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.ContentLength = length
		r.Header.Set(meta.HeaderSignature, sign(testSecret, string(body)))
		a := fixture.serve(t, r)
		fits := len(body) <= 1<<10 && length <= 1<<10
		if a.passed != fits {
			t.Fatalf("%d bytes, said to be %d: got %d, passed on: %t", len(body), length, a.Code, a.passed)
		}
		if fits && (string(a.body) != string(body) || a.request.ContentLength != int64(len(body))) {
			t.Errorf("%q became %q", body, a.body)
		}
		if !fits && a.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", a.Code)
		}
	})
}
