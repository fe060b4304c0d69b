package handler

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

func TestVerificationEchoesTheChallenge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(h *Handler) { h.VerifyTokens = []string{"first", "second token+plus", "dritte-ü"} })
	for name, query := range map[string]string{
		"digits":                     "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=first",
		"any order":                  "hub.verify_token=first&hub.challenge=1158201444&hub.mode=subscribe",
		"another token":              "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=second+token%2Bplus",
		"not ASCII":                  "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=dritte-%C3%BC",
		"escaped names":              "hub%2Emode=subscribe&hub%2echallenge=1158201444&hub%2Everify_token=first",
		"escaped value, once":        "hub.mode=%73ubscribe&hub.challenge=%31158201444&hub.verify_token=firs%74",
		"parameters of the URL":      "app=7&hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=first&x=",
		"too large for a number":     "hub.mode=subscribe&hub.challenge=" + strings.Repeat("9", 256) + "&hub.verify_token=first",
		"leading zeros":              "hub.mode=subscribe&hub.challenge=007&hub.verify_token=first",
		"letters, dot, line, hyphen": "hub.mode=subscribe&hub.challenge=aZ0_.-&hub.verify_token=first",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newVerification(query)
			want := r.URL.Query().Get("hub.challenge")
			a := f.serve(t, r)
			if a.Code != http.StatusOK || a.Body.String() != want {
				t.Errorf("got %d %q, want 200 %q", a.Code, a.Body, want)
			}
			for header, want := range map[string]string{
				"Content-Type":           "text/plain",
				"X-Content-Type-Options": "nosniff",
				"Cache-Control":          "no-store",
			} {
				if got := a.Header().Get(header); got != want {
					t.Errorf("%s: got %q, want %q", header, got, want)
				}
			}
			if a.passed {
				t.Error("a verification request reached the next handler")
			}
		})
	}
}

// TestForeignParametersDoNotFailTheVerification checks that parameters which the
// operator put into the callback URL may look as they like.
func TestForeignParametersDoNotFailTheVerification(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const ours = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=" + testToken
	for _, foreign := range []string{
		"%", "%zz", "discount=50%", "a=%zz", "%zz=a", "a=1;b=2", "a;b", ";", "=", "&&", "hub=%", "hubs.mode=%", "%68ub%2emode%=x",
		"a=1;hub.mode=other", "HUB.MODE=%", "x=" + strings.Repeat("%", 1000),
	} {
		for _, query := range []string{foreign + "&" + ours, ours + "&" + foreign} {
			a := f.serve(t, newVerification(query))
			if a.Code != http.StatusOK || a.Body.String() != "1158201444" {
				t.Errorf("?%s: got %d %q", query, a.Code, a.Body)
			}
		}
	}
}

func TestVerificationIgnoresSignatures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := newVerification("hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken)
	r.Header.Set(meta.HeaderSignature, "sha256=nonsense")
	if a := f.serve(t, r); a.Code != http.StatusOK {
		t.Errorf("got %d, want 200", a.Code)
	}
}
