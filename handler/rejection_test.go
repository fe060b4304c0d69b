package handler

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

// attempt is a request that must be refused for one reason.
type attempt struct {
	name   string
	make   func() *http.Request
	reason reason
}

// TestRefusals sends every attempt and holds the status, the metric, the log
// and the next handler against it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	attempts := slicesOf(methodAttempts(), verificationAttempts(), signatureAttempts(), bodyAttempts())
	if len(attempts) < 200 {
		t.Errorf("only %d attempts", len(attempts))
	}
	seen := make(map[string]bool)
	for _, a := range attempts {
		if seen[a.name] {
			t.Errorf("two attempts named %q", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(h *Handler) { h.MaxSize = 1000 })
			r := a.make()
			counter := func() float64 { return testutil.ToFloat64(f.metrics.deliveries.WithLabelValues(a.reason.name, "")) }
			if r.Method == http.MethodGet {
				counter = func() float64 { return testutil.ToFloat64(f.metrics.verifications.WithLabelValues(a.reason.name)) }
			}
			got := f.serve(t, r)
			if got.Code != a.reason.status {
				t.Errorf("status: got %d, want %d", got.Code, a.reason.status)
			}
			if got.passed {
				t.Error("it reached the next handler")
			}
			if got := counter(); got != 1 {
				t.Errorf("metric %s: got %v, want 1", a.reason.name, got)
			}
			lines := f.logs.FilterMessage("request refused").All()
			if len(lines) != 1 || lines[0].ContextMap()["reason"] != a.reason.name || lines[0].ContextMap()["detail"] == "" {
				t.Errorf("log: got %v", lines)
			}
			if allow := got.Header().Get("Allow"); (allow == "GET, POST") != (a.reason == methodNotAllowed) {
				t.Errorf("Allow: got %q", allow)
			}
		})
	}
}

func slicesOf(groups ...[]attempt) (all []attempt) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func methodAttempts() (all []attempt) {
	for _, method := range []string{
		"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "get", "post", "Post", "POSTS", "GE", "X",
	} {
		all = append(all, attempt{"method/" + method, func() *http.Request {
			r := newDelivery(testBody)
			r.Method = method
			r.URL.RawQuery = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + testToken
			return r
		}, methodNotAllowed})
	}
	return all
}

func verificationAttempts() (all []attempt) {
	add := func(name, query string, why reason) {
		all = append(all, attempt{"verification/" + name, func() *http.Request { return newVerification(query) }, why})
	}
	right := map[string]string{"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": testToken}
	with := func(name, value string) string {
		q := url.Values{}
		for k, v := range right {
			q.Set(k, v)
		}
		q.Set(name, value)
		return q.Encode()
	}
	complete := with("hub.mode", "subscribe")
	add("nothing", "", missingParameter)
	add("other parameters", "mode=subscribe&challenge=1&verify_token="+testToken, missingParameter)
	add("underscores", "hub_mode=subscribe&hub_challenge=1&hub_verify_token="+testToken, missingParameter)
	for name, value := range right {
		q := url.Values{}
		for k, v := range right {
			if k != name {
				q.Set(k, v)
			}
		}
		add("without "+name, q.Encode(), missingParameter)
		add("upper-case "+name, q.Encode()+"&"+strings.ToUpper(name)+"="+url.QueryEscape(value), missingParameter)
		add("array "+name, q.Encode()+"&"+name+"[]="+url.QueryEscape(value), missingParameter)
		add("spaced "+name, q.Encode()+"&+"+name+"="+url.QueryEscape(value), missingParameter)
		add("empty "+name, with(name, ""), badParameter)
		add("bare "+name, q.Encode()+"&"+name, badParameter)
		add("twice "+name, complete+"&"+name+"="+url.QueryEscape(value), repeatedParameter)
		add("twice, other value "+name, complete+"&"+name+"=other", repeatedParameter)
		add("twice, empty "+name, complete+"&"+name+"=", repeatedParameter)
		add("twice, escaped "+name, complete+"&"+strings.Replace(name, ".", "%2E", 1)+"="+url.QueryEscape(value), repeatedParameter)
	}
	for _, broken := range []string{"hub.x=%", "hub.x=%z1", "hub%2Ex=%2", "hub.x=a;b", "hub.x;a=b", "hub.mode=subscribe;hub.challenge=1"} {
		add("ill-formed "+broken, complete+"&"+broken, badParameter)
	}
	// A parameter with an ill-formed name, or one inside of another, is not ours.
	add("ill-formed name", "hub.mode%=subscribe&hub.challenge=1&hub.verify_token="+testToken, missingParameter)
	add("inside of another", "a=1;hub.mode=subscribe&hub.challenge=1&hub.verify_token="+testToken, missingParameter)
	add("escaped twice", "hub%252Emode=subscribe&hub.challenge=1&hub.verify_token="+testToken, missingParameter)
	for _, mode := range []string{"unsubscribe", "Subscribe", "SUBSCRIBE", "subscribe ", " subscribe", "subscribe\n", "subscribe\x00", "subscrib", "subscribed", "1", "true"} {
		add(fmt.Sprintf("mode %q", mode), with("hub.mode", mode), wrongMode)
	}
	for _, token := range []string{
		"wrong", testToken + " ", " " + testToken, testToken + "\n", testToken + "\x00", testToken[1:], testToken[:len(testToken)-1],
		strings.ToUpper(testToken), testToken + testToken, "*", "' OR 1=1 --", "{env.HOME}", strings.Repeat("a", 10000), "null", "0", "[]",
	} {
		name := token
		if len(name) > 100 {
			name = "long"
		}
		add(fmt.Sprintf("token %q", name), with("hub.verify_token", token), wrongToken)
	}
	for _, challenge := range []string{
		"<script>alert(1)</script>", "1 2", "1\r\nX: y", "1\x00", "é", "\xff", "{}", `"1"`, "1+1", "a/b", "a,b", "a&b", "a=b", "%31", "{env.HOME}",
		strings.Repeat("1", 257), strings.Repeat("1", 100000),
	} {
		name := challenge
		if len(name) > 100 {
			name = fmt.Sprintf("%d digits", len(challenge))
		}
		add(fmt.Sprintf("challenge %q", name), with("hub.challenge", challenge), badParameter)
	}
	return all
}

func signatureAttempts() (all []attempt) {
	right := sign(testSecret, testBody)
	digits := strings.TrimPrefix(right, "sha256=")
	add := func(name string, why reason, values ...string) {
		all = append(all, attempt{"signature/" + name, func() *http.Request {
			r := newDelivery(testBody)
			r.Header[meta.HeaderSignature] = values
			return r
		}, why})
	}
	// What Meta signs for the logins of users, who can read it.
	for name, encoding := range map[string]*base64.Encoding{"": base64.RawURLEncoding, " with padding": base64.URLEncoding} {
		text := encoding.EncodeToString([]byte(`{"user_id":"218471","algorithm":"HMAC-SHA256","issued_at":1767225600,"code":"a?>b"}`))
		all = append(all, attempt{"signature/of a signed_request" + name, func() *http.Request { return newDelivery(text) }, signatureMismatch})
	}
	add("none", signatureMissing)
	add("twice", signatureRepeated, right, right)
	add("right and wrong", signatureRepeated, right, sign("x", testBody))
	add("wrong and right", signatureRepeated, sign("x", testBody), right)
	add("right and empty", signatureRepeated, right, "")
	add("many", signatureRepeated, strings.Split(strings.Repeat(right+" ", 100), " ")...)
	for _, malformed := range []string{
		"", "sha256", "sha256=", "=", digits, "sha1=" + digits, "sha512=" + digits, "SHA256=" + digits, "Sha256=" + digits,
		"sha256:" + digits, "sha256 =" + digits, "sha256= " + digits, " " + right, right + " ", right + "\t", "sha256=" + digits[1:],
		right + "0", "sha256=0x" + digits[2:], "sha256==" + digits[1:], right + "," + right, right + ", " + right, right + ";",
		"sha256=" + strings.Repeat("g", 64), "sha256=" + strings.Repeat("-", 64), "sha256=" + strings.Repeat(" ", 64),
		"sha256=" + strings.Repeat("\x00", 64), "sha256=" + strings.Repeat("é", 32), "sha256=" + digits[:63] + "\n", "sha256=\"" + digits[2:] + "\"",
		"sha256=" + strings.Repeat("0", 128), "sha256=" + strings.Repeat("0", 1<<16), "null", "{instagram.secret}", "hmac-sha256=" + digits,
		"sha256=" + digits[:32] + "=" + digits[33:], "sha256=%" + digits[1:],
	} {
		name := malformed
		if len(name) > 100 {
			name = fmt.Sprintf("%d bytes", len(malformed))
		}
		add(fmt.Sprintf("malformed %q", name), signatureMalformed, malformed)
	}
	mismatch := func(name, value string) { add("mismatch "+name, signatureMismatch, value) }
	for i := range 64 {
		flipped := []byte(digits)
		flipped[i] = "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", flipped[i])+1)%16]
		mismatch(fmt.Sprintf("digit %d", i), "sha256="+string(flipped))
	}
	mismatch("zeros", "sha256="+strings.Repeat("0", 64))
	mismatch("ones", "sha256="+strings.Repeat("f", 64))
	mismatch("other secret", sign("another app", testBody))
	mismatch("empty secret", sign("", testBody))
	mismatch("verify token", sign(testToken, testBody))
	mismatch("placeholder as secret", sign("{env.IG_APP_SECRET}", testBody))
	mismatch("secret, upper case", sign(strings.ToUpper(testSecret), testBody))
	mismatch("secret and line feed", sign(testSecret+"\n", testBody))
	mismatch("other body", sign(testSecret, testBody+" "))
	mismatch("empty body", sign(testSecret, ""))
	all = append(all, attempt{"signature/only SHA-1", func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		r.Header.Set("X-Hub-Signature", "sha1=2b6b2e3c1f8c8d1a9d1b8a7f6e5d4c3b2a190807")
		return r
	}, signatureMissing}, attempt{"signature/in the query", func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		r.URL.RawQuery = "X-Hub-Signature-256=" + url.QueryEscape(right)
		return r
	}, signatureMissing}, attempt{"signature/in a trailer", func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		r.Trailer = http.Header{meta.HeaderSignature: {right}}
		return r
	}, signatureMissing}, attempt{"signature/underscores", func() *http.Request {
		r := newDelivery(testBody)
		r.Header.Del(meta.HeaderSignature)
		r.Header["X_Hub_Signature_256"] = []string{right}
		return r
	}, signatureMissing})
	return all
}

func bodyAttempts() (all []attempt) {
	add := func(name string, why reason, make func() *http.Request) {
		all = append(all, attempt{"body/" + name, make, why})
	}
	for _, over := range []int{1001, 1002, 4096, 1 << 20} {
		body := strings.Repeat("x", over)
		add(fmt.Sprintf("%d bytes", over), bodyTooLarge, func() *http.Request { return newDelivery(body) })
		add(fmt.Sprintf("%d bytes, chunked", over), bodyTooLarge, func() *http.Request {
			r := newDelivery(body)
			r.ContentLength = -1
			return r
		})
		add(fmt.Sprintf("%d bytes, claims 10", over), bodyTooLarge, func() *http.Request {
			r := newDelivery(body)
			r.ContentLength = 10
			return r
		})
	}
	add("endless", bodyTooLarge, func() *http.Request {
		r := newDelivery("")
		r.ContentLength, r.Body = -1, io.NopCloser(endless{})
		return r
	})
	add("claims too much", bodyTooLarge, func() *http.Request {
		r := newDelivery(testBody)
		r.ContentLength = 1 << 62
		return r
	})
	add("a limit before this handler", bodyTooLarge, func() *http.Request {
		r := newDelivery(testBody)
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 10)
		return r
	})
	for name, err := range map[string]error{"short": io.ErrUnexpectedEOF, "time out": iotest.ErrTimeout, "reset": errors.New("connection reset by peer")} {
		add("broken off, "+name, bodyIncomplete, func() *http.Request {
			r := newDelivery(testBody)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(testBody[:20]), iotest.ErrReader(err)))
			return r
		})
	}
	for _, altered := range []string{
		testBody + " ", testBody + "\n", " " + testBody, testBody[1:], testBody[:len(testBody)-1], "", "{}", "null",
		strings.Replace(testBody, ":", ": ", 1), strings.Replace(testBody, "instagram", "Instagram", 1),
		strings.Replace(testBody, "instagram", `\u0069nstagram`, 1), strings.ToUpper(testBody), "\xef\xbb\xbf" + testBody,
	} {
		add(fmt.Sprintf("altered %q", altered), signatureMismatch, func() *http.Request {
			r := newDelivery(altered)
			r.Header.Set(meta.HeaderSignature, sign(testSecret, testBody))
			return r
		})
	}
	return all
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRefusalLogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRefusalLogIsBounded)
}

func testRefusalLogIsBounded(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	h := new(Handler)
	h.logTo(zap.New(core), zap.NewNop())
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	flood := func(n int, why reason) {
		for range n {
			h.logRejection(r, why.withCause(errors.New("forged")))
		}
	}
	flood(1000, signatureMismatch)
	flood(10, wrongToken)
	time.Sleep(time.Second) // of the simulated clock
	flood(5, signatureMismatch)
	h.logLeftOut()
	h.logLeftOut()

	type line struct {
		reason  any
		leftOut any
	}
	var got []line
	for _, entry := range logs.All() {
		got = append(got, line{entry.ContextMap()["reason"], entry.ContextMap()["left_out"]})
	}
	want := map[line]bool{
		{"signature_mismatch", int64(0)}:   true, // the first
		{"wrong_token", int64(0)}:          true, // another reason has its own second
		{"signature_mismatch", int64(999)}: true, // the next second tells what was left out
		{"signature_mismatch", int64(4)}:   true, // and the end the rest
		{"wrong_token", int64(9)}:          true,
	}
	if len(got) != len(want) {
		t.Errorf("got %d lines, want %d: %v", len(got), len(want), got)
	}
	for _, g := range got {
		if !want[g] {
			t.Errorf("unexpected line %v", g)
		}
	}
}
