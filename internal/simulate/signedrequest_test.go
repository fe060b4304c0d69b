package simulate

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/httperror"
	"github.com/caddy-instagram/webhooks/signedrequest"
)

const testUser = "17841400000000777"

// callbacks serves the real handler for one kind, as a site of its own, and returns a
// client for it and the ids of the users that events came of.
func callbacks(t *testing.T, kind string) (c *Client, server *httptest.Server, users *[]string) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	h := &signedrequest.Handler{Kind: kind, AppSecrets: []appsecret.AppSecret{{Secret: gatewaySecret}}}
	users = new([]string)
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, new(caddyhttp.Server))
		if err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			d := event.FromContext(r.Context())
			*users = append(*users, d.Events()[0].Account)
			d.Accept()
			return nil
		})); err != nil {
			w.WriteHeader(httperror.Status(err))
		}
	}))
	t.Cleanup(server.Close)
	if kind == signedrequest.Deletion {
		h.StatusURL = server.URL + "/deletion/{code}"
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c = &Client{URL: server.URL + "/deletion", Secret: gatewaySecret, Roots: roots}
	t.Cleanup(c.Close)
	return c, server, users
}

func requests(problems []Problem) (names []string) {
	for _, p := range problems {
		names = append(names, p.Request)
	}
	return names
}

// TestSignedRequestsAgainstCaddy sends signed requests to the handler of this project.
func TestSignedRequestsAgainstCaddy(t *testing.T) {
	t.Parallel()
	s := SignedRequest{User: testUser, Issued: time.Now()}

	c, _, users := callbacks(t, signedrequest.Deauthorize)
	a := c.Deauthorize(t.Context(), s)
	if p := a.Problems(); p != nil || a.Forged.Status != 401 || a.Stale.Status != 401 || !a.Authentic.OK() || !a.Repeated.OK() || a.URL != "" {
		t.Errorf("%+v, %+v", p, a)
	}
	if !slices.Equal(*users, []string{testUser, testUser}) {
		t.Errorf("events of %q", *users)
	}

	c, server, _ := callbacks(t, signedrequest.Deletion)
	a = c.RequestDeletion(t.Context(), s)
	if p := a.Problems(); p != nil || a.Code == "" || a.URL != server.URL+"/deletion/"+a.Code || !a.SameCode() || !a.Page.OK() || !strings.Contains(string(a.Page.Answer), a.Code) {
		t.Errorf("%+v, %+v", p, a)
	}

	c.Secret = "another"
	if a = c.RequestDeletion(t.Context(), s); !slices.Equal(requests(a.Problems()), []string{"authentic"}) || a.Repeated.Status != 0 {
		t.Errorf("%+v, %+v", a.Problems(), a)
	}
}

// TestSignedRequestProblems has receivers that do something wrong.
func TestSignedRequestProblems(t *testing.T) {
	t.Parallel()
	json := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for name, tc := range map[string]struct {
		authentic http.HandlerFunc // answers the authentic one, and the page
		forged    int
		stale     int
		repeated  int
		want      []string
	}{
		"accepts all":             {json(`{"url":"URL/page","confirmation_code":"a1"}`), 200, 200, 200, []string{"forged"}},
		"accepts what is old":     {json(`{"url":"URL/page","confirmation_code":"a1"}`), 400, 200, 200, []string{"stale"}},
		"refuses the second":      {json(`{"url":"URL/page","confirmation_code":"a1"}`), 401, 401, 409, nil},
		"fails the second":        {json(`{"url":"URL/page","confirmation_code":"a1"}`), 401, 401, 500, []string{"repeated"}},
		"no JSON":                 {json("deleted"), 401, 401, 200, []string{"answer"}},
		"no code":                 {json(`{"url":"URL/page"}`), 401, 401, 200, []string{"answer"}},
		"code with other letters": {json(`{"url":"URL/page","confirmation_code":"<b>"}`), 401, 401, 200, []string{"answer"}},
		"no page":                 {json(`{"url":"URL/none","confirmation_code":"a1"}`), 401, 401, 200, []string{"page"}},
		"page is a script":        {json(`{"url":"javascript:alert(1)","confirmation_code":"a1"}`), 401, 401, 200, []string{"page"}},
		"page with a password":    {json(`{"url":"https://a:b@localhost/","confirmation_code":"a1"}`), 401, 401, 200, []string{"page"}},
		"redirects":               {http.RedirectHandler("/", http.StatusFound).ServeHTTP, 401, 401, 200, []string{"authentic"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := SignedRequest{User: testUser, Issued: time.Unix(1793523600, 0)}
			authentic := url.Values{"signed_request": {s.sign(testSecret)}}.Encode()
			forged := url.Values{"signed_request": {s.sign(forgedKey)}}.Encode()
			times := 0
			server := httptest.NewServer(nil)
			defer server.Close()
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch string(body) {
				case "":
					if r.URL.Path != "/page" {
						w.WriteHeader(404)
					}
				case forged:
					w.WriteHeader(tc.forged)
				case authentic:
					if times++; times == 1 || tc.repeated == 200 {
						answer := httptest.NewRecorder()
						tc.authentic(answer, r)
						w.WriteHeader(answer.Code)
						_, _ = io.WriteString(w, strings.ReplaceAll(answer.Body.String(), "URL", server.URL))
						return
					}
					w.WriteHeader(tc.repeated)
				default:
					w.WriteHeader(tc.stale)
				}
			})
			c := &Client{URL: server.URL + "/deletion", Secret: testSecret}
			defer c.Close()
			a := c.RequestDeletion(t.Context(), s)
			if got := requests(a.Problems()); !slices.Equal(got, tc.want) {
				t.Errorf("problems %q of %+v, want %q", got, a.Problems(), tc.want)
			}
		})
	}
}

// TestSignedRequestOnTheWire compares a request with what Meta documents.
func TestSignedRequestOnTheWire(t *testing.T) {
	t.Parallel()
	c := &Client{URL: "https://hooks.example.com/meta/deletion?a=b", Secret: testSecret}
	head, body, _ := strings.Cut(string(c.SignedRequest(SignedRequest{"1", time.Unix(1793523600, 0)})), "\r\n\r\n")
	if !strings.HasPrefix(head, "POST /meta/deletion?a=b HTTP/1.1\r\nHost: hooks.example.com\r\n") || !strings.Contains(head, "\r\nContent-Type: application/x-www-form-urlencoded") {
		t.Errorf("head %q", head)
	}
	// printf %s "$text" | basenc --base64url | tr -d =; openssl dgst -sha256 -hmac
	const text = "eyJ1c2VyX2lkIjoiMSIsImFsZ29yaXRobSI6IkhNQUMtU0hBMjU2IiwiaXNzdWVkX2F0IjoxNzkzNTIzNjAwfQ"
	if want := "signed_request=CaxCgxTgChL2zDdT1MbwEfHb4dNW-w0itItAlbIrSV0." + text; body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	c = &Client{URL: "ftp://hooks.example.com"}
	if o := c.Deauthorize(t.Context(), SignedRequest{}).Authentic; o.Err == nil || errors.Is(o.Err, ErrChallenge) {
		t.Errorf("%+v", o)
	}
}
