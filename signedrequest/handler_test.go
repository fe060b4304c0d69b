package signedrequest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/httperror"
)

const (
	testSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
	testUser    = "17841400000000777"
	statusURL   = "https://hooks.example.com/meta/deletion/{code}"
)

type fixture struct {
	*Handler
	logs *observer.ObservedLogs
}

func newFixture(t testing.TB, kind string) *fixture {
	t.Helper()
	h := &Handler{Kind: kind, AppSecrets: []appsecret.AppSecret{{Secret: otherSecret}, {Name: "instagram", Secret: testSecret}}}
	if kind == Deletion {
		h.StatusURL = statusURL
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	h.logger = zap.New(core)
	return &fixture{h, logs}
}

// signed returns a signed_request as Meta makes it.
func signed(secret, payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + text
}

// payload returns what Meta signs.
func payload(issued time.Time) string {
	return fmt.Sprintf(`{"user_id":"%s","algorithm":"HMAC-SHA256","issued_at":%d}`, testUser, issued.Unix())
}

func form(values ...string) *http.Request {
	text := ""
	for _, value := range values {
		text += "&signed_request=" + url.QueryEscape(value)
	}
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/meta/deletion", strings.NewReader(strings.TrimPrefix(text, "&")))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// serve returns the answer, and what the next handler got.
func (f *fixture) serve(r *http.Request, next caddyhttp.HandlerFunc) (w *httptest.ResponseRecorder, d *event.Delivery, body []byte) {
	w = httptest.NewRecorder()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
	err := f.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		d = event.FromContext(r.Context())
		d.Events()
		body, _ = io.ReadAll(r.Body)
		if want := int64(len(body)); r.ContentLength != want {
			return fmt.Errorf("the length is %d, not %d", r.ContentLength, want)
		}
		return next(w, r)
	}))
	if err != nil {
		w.Code = httperror.Status(err)
	}
	return w, d, body
}

func accepts(_ http.ResponseWriter, r *http.Request) error {
	event.FromContext(r.Context()).Accept()
	return nil
}

// TestRequestsBecomeEvents has handlers that take the event in all ways, and requests that
// come twice.
func TestRequestsBecomeEvents(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Deauthorize, Deletion} {
		for name, next := range map[string]caddyhttp.HandlerFunc{
			"accepted": accepts,
			"answered": func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("X-Application", "1")
				w.WriteHeader(http.StatusNoContent)
				return nil
			},
			"written": func(w http.ResponseWriter, _ *http.Request) error {
				_, err := io.WriteString(w, "of the application")
				return err
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, kind)
				text := signed(testSecret, payload(time.Now()))
				var ids, bodies []string
				for range 2 {
					w, d, body := f.serve(form(text), next)
					if w.Code != http.StatusOK || w.Header().Get("X-Application") != "" {
						t.Fatalf("got %d %v", w.Code, w.Header())
					}
					e := d.Events()[0]
					if len(d.Events()) != 1 || e.Field != kind || e.Account != testUser || e.Object != "instagram" || e.NotUnique() || d.Secret != "instagram" {
						t.Errorf("got %+v", e)
					}
					if a := e.Attributes(); a.Type != "com.instagram."+kind || a.Time.IsZero() {
						t.Errorf("got %+v", a)
					}
					mac := hmac.New(sha256.New, []byte(testSecret))
					mac.Write(body)
					if sum := d.Signer.Sign(body); !hmac.Equal(sum[:], mac.Sum(nil)) {
						t.Error("the body is not signed")
					}
					ids, bodies = append(ids, e.ID()), append(bodies, w.Body.String())
				}
				if ids[0] != ids[1] || bodies[0] != bodies[1] {
					t.Errorf("the same request makes %q and %q", ids, bodies)
				}
				if kind == Deauthorize {
					if bodies[0] != "" {
						t.Errorf("got %q", bodies[0])
					}
					return
				}
				var answer struct {
					URL  string `json:"url"`
					Code string `json:"confirmation_code"`
				}
				if err := json.Unmarshal([]byte(bodies[0]), &answer); err != nil || len(answer.Code) != codeLength ||
					answer.URL != "https://hooks.example.com/meta/deletion/"+answer.Code {
					t.Errorf("got %s: %v", bodies[0], err)
				}
			})
		}
	}
}

// TestFailuresAreAnsweredAsSuch has next handlers that do not take the event: Meta must not
// be told that they did.
func TestFailuresAreAnsweredAsSuch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		next   caddyhttp.HandlerFunc
		want   int
		reason string
	}{
		"nobody":   {func(http.ResponseWriter, *http.Request) error { return nil }, 503, "no handler took the event"},
		"error":    {func(http.ResponseWriter, *http.Request) error { return errors.New("no") }, 500, "no"},
		"status":   {func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(503, errors.New("full")) }, 503, "full"},
		"500":      {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(500); return nil }, 500, "the application answered 500 Internal Server Error"},
		"404":      {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(404); return nil }, 404, "the application answered 404 Not Found"},
		"redirect": {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(302); return nil }, 502, "the application answered 302 Found"},
		"caught": {func(w http.ResponseWriter, r *http.Request) error {
			event.FromContext(r.Context()).Fail(caddyhttp.Error(503, errors.New("full")))
			w.WriteHeader(http.StatusOK)
			return nil
		}, 503, "full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Deletion)
			text := signed(testSecret, payload(time.Now()))
			if w, _, _ := f.serve(form(text), tc.next); w.Code != tc.want || w.Body.Len() > 0 {
				t.Errorf("got %d %q, want %d", w.Code, w.Body, tc.want)
			}
			err := f.ServeHTTP(httptest.NewRecorder(), form(text), tc.next)
			if err == nil || !strings.Contains(err.Error(), tc.reason) || strings.Contains(err.Error(), "put instagram_queue") != (name == "nobody") {
				t.Errorf("got %v, want %q", err, tc.reason)
			}
			if w, _, _ := f.serve(form(text), accepts); w.Code != http.StatusOK {
				t.Errorf("the request is refused when it comes again: %d", w.Code)
			}
		})
	}
}

// TestAttacks sends what is not Meta's.
func TestAttacks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good := signed(testSecret, payload(now))
	signature, text, _ := strings.Cut(good, ".")
	other := "A"
	if good[0] == 'A' {
		other = "B"
	}
	change := func(r *http.Request, change func(*http.Request)) *http.Request {
		change(r)
		return r
	}
	for name, tc := range map[string]struct {
		r    *http.Request
		want *refusal
	}{
		"tampered payload":   {form(signature + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(payload(now), "777", "778", 1)))), mismatch},
		"tampered signature": {form(other + good[1:]), mismatch},
		"another secret":     {form(signed("ffffffffffffffffffffffffffffffff", payload(now))), mismatch},
		"empty secret":       {form(signed("", payload(now))), mismatch},
		"signature of text":  {form(signed(testSecret, "x")), wrongText},
		"no signature":       {form("." + text), malformed},
		"short signature":    {form(base64.RawURLEncoding.EncodeToString([]byte("short")) + "." + text), malformed},
		"no dot":             {form(signature), mismatch},
		"three parts":        {form(good + "." + text), malformed},
		"empty":              {form(""), malformed},
		"padded":             {form(signature + "=." + text), malformed},
		"padded payload":     {form(good + "="), malformed},
		"standard base64":    {form(strings.NewReplacer("-", "+", "_", "/").Replace(signature) + "+." + text), malformed},
		"line break":         {form(signature + "\n." + text), malformed},
		"other algorithm":    {form(signed(testSecret, strings.Replace(payload(now), "SHA256", "SHA1", 1))), otherMethod},
		"algorithm none":     {form(signed(testSecret, strings.Replace(payload(now), "HMAC-SHA256", "none", 1))), otherMethod},
		"lower case":         {form(signed(testSecret, strings.Replace(payload(now), "HMAC-SHA256", "hmac-sha256", 1))), otherMethod},
		"no algorithm":       {form(signed(testSecret, `{"user_id":"1","issued_at":1}`)), otherMethod},
		"no user":            {form(signed(testSecret, fmt.Sprintf(`{"algorithm":"HMAC-SHA256","issued_at":%d}`, now.Unix()))), wrongText},
		"user is an object":  {form(signed(testSecret, fmt.Sprintf(`{"algorithm":"HMAC-SHA256","issued_at":%d,"user_id":{}}`, now.Unix()))), wrongText},
		"no time":            {form(signed(testSecret, `{"algorithm":"HMAC-SHA256","user_id":"1"}`)), wrongText},
		"time is a text":     {form(signed(testSecret, `{"algorithm":"HMAC-SHA256","user_id":"1","issued_at":"x"}`)), wrongText},
		"expired":            {form(signed(testSecret, payload(now.Add(-24*time.Hour-time.Minute)))), expired},
		"from the future":    {form(signed(testSecret, payload(now.Add(6*time.Minute)))), fromTomorrow},
		"far future":         {form(signed(testSecret, `{"algorithm":"HMAC-SHA256","user_id":"1","issued_at":9223372036854775807}`)), wrongText},
		"twice":              {form(good, good), wrongForm},
		"another first":      {form("x", good), wrongForm},
		"none":               {form(), wrongForm},
		"huge":               {form(good + strings.Repeat("A", maxForm)), tooLarge},
		"huge, no length":    {change(form(good+strings.Repeat("A", maxForm)), func(r *http.Request) { r.ContentLength = -1 }), tooLarge},
		"GET with a query": {change(form(), func(r *http.Request) {
			r.Method, r.URL.RawQuery = http.MethodGet, "signed_request="+good
		}), wrongMethod},
		"POST with a query": {change(form(), func(r *http.Request) { r.URL.RawQuery = "signed_request=" + good }), wrongForm},
		"PUT":               {change(form(good), func(r *http.Request) { r.Method = http.MethodPut }), wrongMethod},
		"JSON":              {change(form(good), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), wrongForm},
		"no content type":   {change(form(good), func(r *http.Request) { r.Header.Del("Content-Type") }), wrongForm},
		"compressed":        {change(form(good), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), wrongForm},
		"broken form":       {change(form(good), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("signed_request=%zz")) }), wrongForm},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Deletion)
			w, d, _ := f.serve(tc.r, accepts)
			if w.Code != tc.want.status || d != nil {
				t.Errorf("got %d, want %d; handed on: %t", w.Code, tc.want.status, d != nil)
			}
			lines := f.logs.FilterMessage("signed request refused").All()
			if len(lines) != 1 || lines[0].ContextMap()["reason"] != tc.want.reason {
				t.Errorf("logged %v, want %s", lines, tc.want.reason)
			}
			for _, line := range f.logs.All() {
				if text := fmt.Sprint(line.ContextMap()); strings.Contains(text, testUser) || strings.Contains(text, signature[:8]) || strings.Contains(text, testSecret) {
					t.Errorf("the log tells %s", text)
				}
			}
		})
	}
}

// TestDeliveryIsNoForm has a delivery of instagram_webhook come to the handler, which says what is
// wrong with the config and not with the form.
func TestDeliveryIsNoForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Deauthorize)
	r := form(signed(testSecret, payload(time.Now())))
	r = r.WithContext(event.NewContext(r.Context(), new(event.Delivery)))
	err := f.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("it was handed on")
		return nil
	}))
	if httperror.Status(err) != http.StatusInternalServerError || !strings.Contains(err.Error(), "a path of its own") {
		t.Errorf("got %v", err)
	}
}

// TestPageTellsOnlyWhen follows a code over a year, and tries codes that nobody was given.
func TestPageTellsOnlyWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Deletion)
		w, _, _ := f.serve(form(signed(testSecret, payload(time.Now()))), accepts)
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		code := answer["confirmation_code"]
		get := func(method, path string) (int, string) {
			w, d, _ := f.serve(httptest.NewRequest(method, "https://hooks.example.com"+path, nil), accepts)
			if d != nil || method == http.MethodGet && w.Code < 405 && !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%s: %v", path, w.Header())
			}
			return w.Code, w.Body.String()
		}
		time.Sleep(365 * 24 * time.Hour)
		status, page := get(http.MethodGet, "/meta/deletion/"+code)
		if status != http.StatusOK || !strings.Contains(page, "received on 1 January 2000 at 00:00 UTC") || !strings.Contains(page, code) || strings.Contains(page, testUser) {
			t.Errorf("got %d %s", status, page)
		}
		if status, page := get(http.MethodHead, "/meta/deletion/"+code); status != http.StatusOK || page != "" {
			t.Errorf("HEAD: got %d %q", status, page)
		}
		_, unknown := get(http.MethodGet, "/meta/deletion/x")
		for _, wrong := range []string{"", code[1:], code + "a", "b" + code[1:], code[:39] + string(code[39]^1), strings.ToUpper(code), code[:20] + "%0A" + code[20:], "%3Cscript%3E", strings.Repeat("a", 40), "../" + code} {
			if status, page := get(http.MethodGet, "/meta/deletion/"+wrong); status != http.StatusNotFound || page != unknown {
				t.Errorf("%s: got %d %s", wrong, status, page)
			}
		}
		if status, _ := get(http.MethodGet, "/meta/elsewhere"); status != http.StatusMethodNotAllowed {
			t.Errorf("another path: got %d", status)
		}
		// The code of another secret is another's.
		f.secrets = f.secrets[:1]
		if status, _ := get(http.MethodGet, "/meta/deletion/"+code); status != http.StatusNotFound {
			t.Errorf("without its secret: got %d", status)
		}
	})
}

func TestCodesDiffer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Deletion)
	codes := make(map[string]bool)
	for i := range 100 {
		codes[f.codeOf(f.secrets[i%2], &signedRequest{UserID: id(fmt.Sprint(i / 4)), IssuedAt: int64(1e9 + i/2%2)})] = true
	}
	if len(codes) != 100 {
		t.Errorf("%d codes, want 100", len(codes))
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	secret := []appsecret.AppSecret{{Secret: testSecret}}
	for want, h := range map[string]*Handler{
		"kind is missing":                     {AppSecrets: secret},
		`kind "x" is none of deauthorize and`: {Kind: "x", AppSecrets: secret},
		"at least one app_secret":             {Kind: Deauthorize},
		"less than 16 characters":             {Kind: Deauthorize, AppSecrets: []appsecret.AppSecret{{Secret: "meta"}}},
		"it is empty":                         {Kind: Deauthorize, AppSecrets: []appsecret.AppSecret{{}}},
		"deletion needs a status_url":         {Kind: Deletion, AppSecrets: secret},
		"status_url is for deletion":          {Kind: Deauthorize, AppSecrets: secret, StatusURL: statusURL},
		`"http://x/{code}" must begin`:        {Kind: Deletion, AppSecrets: secret, StatusURL: "http://x/{code}"},
		`"https://x/code" must begin`:         {Kind: Deletion, AppSecrets: secret, StatusURL: "https://x/code"},
		`"https://x/?c={code}" must begin`:    {Kind: Deletion, AppSecrets: secret, StatusURL: "https://x/?c={code}"},
		`"https://x/{code}/y" must begin`:     {Kind: Deletion, AppSecrets: secret, StatusURL: "https://x/{code}/y"},
		`"https://{code}" must begin`:         {Kind: Deletion, AppSecrets: secret, StatusURL: "https://{code}"},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		if err := h.Provision(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		cancel()
	}
}
