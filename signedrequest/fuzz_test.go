package signedrequest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// FuzzForm checks that nothing is accepted but a form whose only signed_request is, to the
// letter, what Meta has signed.
func FuzzForm(f *testing.F) {
	fixture := newFixture(f, Deletion)
	fixture.logger = zap.NewNop()                    // the observer would keep all lines
	right := signed(testSecret, payload(time.Now())) // in each process that fuzzes another one
	signature, text, _ := strings.Cut(right, ".")
	field := "signed_request="
	for _, seed := range []string{
		field + right, field + right + "&locale=en", field + right + "&" + field + right, field + right + "%0A", field + signature + "=." + text,
		field + signature + "." + text + "=", field + text, field + "." + text, field + signature + ".", "%", "", field + signed("another", payload(time.Now())),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/meta/deletion", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w, delivery, _ := fixture.serve(r, accepts)
		values, err := url.ParseQuery(body)
		_, text, _ := strings.Cut(values.Get("signed_request"), ".")
		decoded, _ := base64.RawURLEncoding.DecodeString(text)
		authentic := err == nil && len(values["signed_request"]) == 1 && values.Get("signed_request") == signed(testSecret, string(decoded))
		if (delivery != nil) != authentic || (w.Code == http.StatusOK) != authentic {
			t.Errorf("%q: status %d, handed on: %t", body, w.Code, delivery != nil)
		}
		if !authentic && (w.Code < 400 || w.Code >= 500) {
			t.Errorf("%q: status %d", body, w.Code)
		}
	})
}

// FuzzText checks that what is taken from a signed text is complete, and makes an event.
func FuzzText(f *testing.F) {
	now := time.Now()
	for _, seed := range []string{payload(now), payload(now.Add(-48 * time.Hour)), `{"user_id":7,"algorithm":"HMAC-SHA256","issued_at":1e9}`, "{}", "null", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request, refused := parse([]byte(text), now)
		if refused != nil {
			return
		}
		age := now.Sub(time.Unix(request.IssuedAt, 0))
		if !request.UserID.isValid() || age > maxAge || age < -maxSkew {
			t.Errorf("%q: %+v", text, request)
		}
		for _, kind := range []string{Deletion, Deauthorize} {
			if body, err := request.event(kind); err != nil || !json.Valid(body) {
				t.Errorf("%q: %q, %v", text, body, err)
			}
		}
	})
}
