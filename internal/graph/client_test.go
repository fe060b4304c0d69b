package graph_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

func TestSubscribeReplacesTheFields(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]struct {
		client  func(*graphtest.Server) *graph.Client
		account string
		first   []string
		second  []string
	}{
		"instagram": {client, account, []string{"comments", "messages"}, []string{"mentions", "messages"}},
		"facebook":  {pageClient, page, []string{"feed"}, []string{"messages"}},
		"unified":   {unifiedClient, account, []string{"comments", "messages"}, []string{"mentions"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := login.client(meta())
			for _, fields := range [][]string{login.first, login.second} {
				if err := c.Subscribe(t.Context(), login.account, fields); err != nil {
					t.Fatal(err)
				}
				got, err := c.Subscriptions(t.Context(), login.account)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != 1 || got[0].App != appID || !slices.Equal(got[0].Fields, fields) {
					t.Errorf("subscribed to %v, got %+v", fields, got)
				}
			}
			if err := c.Unsubscribe(t.Context(), login.account); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Subscriptions(t.Context(), login.account); err != nil || len(got) != 0 {
				t.Errorf("unsubscribed, got %+v, %v", got, err)
			}
		})
	}
}

func TestSubscribeIsAtomic(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{
		"refused":            "message_echoes",
		"unknown":            "nonsense",
		"app not subscribed": "live_comments",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := meta()
			c := client(s)
			if err := c.Subscribe(t.Context(), account, []string{"comments"}); err != nil {
				t.Fatal(err)
			}
			err := c.Subscribe(t.Context(), account, []string{"messages", field})
			refused, ok := errors.AsType[*graph.Error](err)
			if !ok || refused.Code != 100 || refused.Type != "OAuthException" || refused.TraceID == "" {
				t.Fatalf("got %v", err)
			}
			if errors.Is(err, graph.ErrUncertain) {
				t.Error("a plain refusal is called uncertain")
			}
			if !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "code 100") || !strings.Contains(err.Error(), "fbtrace_id "+refused.TraceID) {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
			if got := s.State().Accounts[0].Subscribed[appID]; !slices.Equal(got, []string{"comments"}) {
				t.Errorf("a refused call changed the fields to %v", got)
			}
		})
	}
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("after") {
		case "":
			fmt.Fprint(w, `{"data":[{"app_id":"1","subscribed_fields":["comments"]}],"paging":{"cursors":{"after":"x"},"next":"https://elsewhere.invalid/?access_token=t&after=x"}}`)
		case "x":
			fmt.Fprint(w, `{"data":[{"app_id":"2"}],"paging":{"cursors":{"after":"y"}}}`)
		}
	}))
	t.Cleanup(server.Close)
	c := &graph.Client{BaseURL: server.URL, Token: igToken}
	got, err := c.Subscriptions(t.Context(), account)
	if err != nil || len(got) != 2 || got[0].App != "1" || got[1].App != "2" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEndlessListsEnd(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"data":[],"paging":{"cursors":{"after":"x"},"next":"n"}}`: "pages",
		`{"data":[],"paging":{"next":"n"}}`:                         "does not say where",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, answer)
		}))
		t.Cleanup(server.Close)
		c := &graph.Client{BaseURL: server.URL, Token: igToken}
		if _, err := c.Subscriptions(t.Context(), account); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

// receiver answers verification requests that have the right token.
func receiver(t *testing.T, token string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("hub.verify_token") != token || r.FormValue("hub.mode") != "subscribe" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, r.FormValue("hub.challenge"))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/webhooks"
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	const verifyToken = "a verify token & more"
	c := appClient(meta())
	want := graph.Callback{Object: "instagram", URL: receiver(t, verifyToken), Fields: []string{"comments", "live_comments"}, Active: true}
	if err := c.SetCallback(t.Context(), appID, want, verifyToken, true); err != nil {
		t.Fatal(err)
	}
	find := func() (found graph.Callback) {
		t.Helper()
		all, err := c.Callbacks(t.Context(), appID)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			if b.Object == "instagram" {
				found = b
			}
		}
		return found
	}
	if got := find(); got.URL != want.URL || !slices.Equal(got.Fields, want.Fields) || !got.Active {
		t.Errorf("set %+v, got %+v", want, got)
	}

	err := c.SetCallback(t.Context(), appID, graph.Callback{Object: "instagram", URL: want.URL, Fields: []string{"comments"}}, "another verify token", true)
	refused, ok := errors.AsType[*graph.Error](err)
	if !ok || refused.Code != 2200 || !strings.Contains(refused.Message, "403") {
		t.Errorf("got %v", err)
	}
	noSecret(t, fmt.Sprint(err), "another verify token")
	if got := find(); !slices.Equal(got.Fields, want.Fields) {
		t.Errorf("a refused call changed the callback to %+v", got)
	}

	if err := c.RemoveCallback(t.Context(), appID, "instagram", []string{"live_comments"}); err != nil {
		t.Fatal(err)
	}
	if got := find(); !slices.Equal(got.Fields, []string{"comments"}) {
		t.Errorf("removed a field, got %+v", got)
	}
	if err := c.RemoveCallback(t.Context(), appID, "instagram", nil); err != nil {
		t.Fatal(err)
	}
	if got := find(); got.Object != "" {
		t.Errorf("removed the callback, got %+v", got)
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	s := meta()
	for _, test := range []struct {
		client *graph.Client
		want   graph.Owner
	}{
		{client(s), graph.Owner{Account: account, Scoped: "27841400000000001", Name: "gardens"}},
		{pageClient(s), graph.Owner{Account: page, Name: "Gardens"}},
		{unifiedClient(s), graph.Owner{SystemUser: "12241400000000001", Name: "System user of gardens"}},
	} {
		if got, err := test.client.Me(t.Context()); err != nil || got != test.want {
			t.Errorf("got %+v, %v, want %+v", got, err, test.want)
		}
	}
}

func TestLinkedAccount(t *testing.T) {
	t.Parallel()
	s := meta()
	if got, err := pageClient(s).LinkedAccount(t.Context(), page); err != nil || got != account {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := unifiedClient(s).LinkedAccount(t.Context(), account); err != nil || got != "" {
		t.Errorf("an account that is linked to none: got %q, %v", got, err)
	}
	if _, err := pageClient(s).LinkedAccount(t.Context(), "me"); err == nil {
		t.Error("anything is taken for an id")
	}
}

func TestUsageIsTold(t *testing.T) {
	t.Parallel()
	s := meta()
	c := client(s)
	var told graph.Usage
	c.OnUsage = func(u graph.Usage) { told = u }
	s.Use(map[string]string{
		"X-App-Usage":               `{"call_count":28,"total_time":91.5}`,
		"X-Business-Use-Case-Usage": `{"17841400000000001":[{"type":"instagram","call_count":3,"total_cputime":97,"estimated_time_to_regain_access":5}]}`,
	})
	if _, err := c.Me(t.Context()); err != nil || told != (graph.Usage{App: 91.5, Business: 97, Regain: 5 * time.Minute}) {
		t.Errorf("told was %+v, %v", told, err)
	}
	s.Use(map[string]string{"X-App-Usage": "nonsense"})
	if _, err := c.Me(t.Context()); err != nil || told != (graph.Usage{}) {
		t.Errorf("told was %+v, %v", told, err)
	}
}

func TestDebug(t *testing.T) {
	t.Parallel()
	s := meta()
	got, err := pageClient(s).Debug(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := s.State().Tokens[1].Expires
	if !got.Valid || got.App != appID || got.Kind != "PAGE" || got.Expires.Unix() != want.Unix() || !got.DataExpires.IsZero() ||
		!slices.Equal(got.Permissions, []string{"instagram_manage_messages"}) {
		t.Errorf("got %+v", got)
	}
	got, err = unifiedClient(s).Debug(t.Context())
	if err != nil || !got.Valid || got.Kind != "SYSTEM_USER" || !got.Expires.IsZero() || !slices.Contains(got.Permissions, "instagram_basic") {
		t.Errorf("Unified Login: got %+v, %v", got, err)
	}
	if _, err := client(s).Debug(t.Context()); err == nil {
		t.Error("a token of Instagram Login was looked into")
	}
}

func TestTimesCanBeWritten(t *testing.T) {
	t.Parallel()
	s := meta()
	s.Fail(graphtest.Fault{Path: "/debug_token", Status: 200, Body: json.RawMessage(`{"data":{"expires_at":9000000000000000,"data_access_expires_at":-9000000000000000}}`)})
	got, err := pageClient(s).Debug(t.Context())
	if err != nil || got.Expires.UTC().Year() != 9999 || got.DataExpires.Unix() != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	s := meta()
	token, expires, err := client(s).Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := s.State().Tokens[3]
	if string(token) != known.Value || known.Value == igToken {
		t.Error("the token returned is not the new one")
	}
	if d := expires.Sub(known.Expires).Abs(); d > time.Minute {
		t.Errorf("expires %s, off by %s", expires, d)
	}
	asked := len(s.Requests())
	for _, c := range []*graph.Client{pageClient(s), unifiedClient(s)} {
		if _, _, err := c.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "tokens of "+c.Login.Name()+" cannot be refreshed") {
			t.Errorf("%s: got %v", c.Login, err)
		}
	}
	if len(s.Requests()) != asked {
		t.Error("Meta was asked to refresh what it cannot")
	}

	// The new one is too young.
	renewed := client(s)
	renewed.Token = token
	_, _, err = renewed.Refresh(t.Context())
	if refused, ok := errors.AsType[*graph.Error](err); !ok || refused.Type != "IGApiException" {
		t.Errorf("got %v", err)
	}
	noSecret(t, fmt.Sprint(err), string(token))
}

func TestRefreshRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{}`, `{"access_token":"","expires_in":5}`, `{"access_token":"a b","expires_in":5}`,
		`{"access_token":"a\nb","expires_in":5}`, `{"access_token":"ä","expires_in":5}`, `{"access_token":"ab","expires_in":0}`,
		`{"access_token":"` + strings.Repeat("a", 5000) + `","expires_in":5}`} {
		s := meta()
		s.Fail(graphtest.Fault{Status: 200, Body: json.RawMessage(answer)})
		if token, _, err := client(s).Refresh(t.Context()); err == nil || token != "" {
			t.Errorf("%.80s was taken", answer)
		}
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	state := meta().State()
	state.Apps[0].RequireProof = true
	s := graphtest.New(state)
	c := pageClient(s)
	_, err := c.Me(t.Context())
	refused, ok := errors.AsType[*graph.Error](err)
	if !ok || !strings.Contains(refused.Advice(), "secret of the very app") {
		t.Errorf("without a proof: got %v", err)
	}
	c.AppSecret = appSecret
	if err := c.Subscribe(t.Context(), page, []string{"feed"}); err != nil {
		t.Errorf("with the proof: %v", err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Errorf("with the proof: %v", err)
	}
	c.AppSecret = "another"
	if _, err := c.Me(t.Context()); err == nil {
		t.Error("a wrong proof was taken")
	}

	unified := unifiedClient(s)
	if _, err := unified.Me(t.Context()); err == nil {
		t.Error("Unified Login: no proof was missed")
	}
	unified.AppSecret = appSecret
	if _, err := unified.Me(t.Context()); err != nil {
		t.Errorf("Unified Login, with the proof: %v", err)
	}

	// Not where it is not known to be understood.
	instagram := client(s)
	instagram.AppSecret = appSecret
	if _, err := instagram.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := s.Requests()
	if _, sent := all[len(all)-1].Form["appsecret_proof"]; sent {
		t.Error("a proof was sent with Instagram Login")
	}
}

func TestTokensStayOutOfURLs(t *testing.T) {
	t.Parallel()
	s := meta()
	c, p, a := client(s), pageClient(s), appClient(s)
	p.AppSecret = appSecret
	ctx := t.Context()
	for _, err := range []error{
		c.Subscribe(ctx, account, []string{"comments"}),
		c.Unsubscribe(ctx, account),
		p.Subscribe(ctx, page, []string{"feed"}),
		a.SetCallback(ctx, appID, graph.Callback{Object: "instagram", URL: receiver(t, "vt-secret"), Fields: []string{"comments"}}, "vt-secret", true),
		a.RemoveCallback(ctx, appID, "instagram", nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Subscriptions(ctx, page); err != nil {
		t.Fatal(err)
	}
	requests := s.Requests()
	if len(requests) < 7 {
		t.Fatalf("only %d requests were made", len(requests))
	}
	for _, r := range requests {
		noSecret(t, r.URI, "vt-secret", url.QueryEscape("vt-secret"))
	}
}

func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	answered := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What the worst of proxies would do.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "|")
		text := key + " " + r.Header.Get("Authorization") + " " + r.URL.Query().Get("input_token") + r.URL.Query().Get("appsecret_proof") + form.Get("verify_token")
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": text, "type": text, "error_user_title": text, "error_user_msg": text, "fbtrace_id": text}})
	}))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.invalid/"+r.Header.Get("Authorization"), http.StatusFound)
	}))
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<p>%s %s", r.Header.Get("Authorization"), r.RequestURI)
	}))
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hijack(w, "HTTP/1.1 200 OK\r\n"+r.Header.Get("Authorization")+"\r\n\r\n")
	}))
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = nil
	for _, s := range []*httptest.Server{answered, redirecting, html, broken, untrusted} {
		t.Cleanup(s.Close)
	}
	for name, base := range map[string]string{
		"answered": answered.URL, "closed": closed.URL, "redirecting": redirecting.URL, "html": html.URL, "broken": broken.URL, "untrusted": untrusted.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const verifyToken = "vt-secret"
			p := &graph.Client{Login: graph.FacebookLogin, BaseURL: base, Token: pageToken, AppSecret: appSecret, MaxWait: -1}
			a := &graph.Client{Login: graph.FacebookLogin, BaseURL: base, Token: graph.AppToken(appID, appSecret), MaxWait: -1}
			_, debug := p.Debug(t.Context())
			set := a.SetCallback(t.Context(), appID, graph.Callback{Object: "instagram"}, verifyToken, true)
			removed := a.RemoveCallback(t.Context(), appID, "instagram", nil)
			for _, err := range []error{debug, set, removed} {
				if err == nil {
					t.Fatal("no error")
				}
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
					noSecret(t, text, verifyToken, proofOf(pageToken))
				}
				if !strings.Contains(err.Error(), base) {
					t.Errorf("the error does not say where it happened: %v", err)
				}
			}
		})
	}
}

func proofOf(token string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Store(true)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	for _, own := range []*http.Client{nil, {}} {
		c := &graph.Client{BaseURL: server.URL, Token: igToken, HTTP: own, MaxWait: -1}
		if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), "307") {
			t.Errorf("got %v", err)
		}
	}
	if followed.Load() {
		t.Error("a token went where a redirect pointed")
	}
}

// endless is a body that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 64<<20 {
		return 0, errors.New("64 MiB were read")
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func (e *endless) Close() error { return nil }

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	body := new(endless)
	c := &graph.Client{Token: igToken, MaxWait: -1, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
	})}}
	if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than") || body.read > 4<<20 {
		t.Errorf("read %d bytes: %v", body.read, err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	c := graph.Client{Token: igToken, AppSecret: appSecret}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		noSecret(t, fmt.Sprintf(format, c), fmt.Sprintf("%x", igToken))
	}
	data, err := json.Marshal(map[string]any{"token": c.Token})
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, string(data))
}

func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]graphtest.Fault{
		"html":     {Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: json.RawMessage(`"<html>"`)},
		"teapot":   {Status: 418, Body: json.RawMessage(`{}`)},
		"empty":    {Status: 200},
		"too long": {Status: 200, Body: json.RawMessage(`"{\"data\":[\"` + strings.Repeat("x", 2<<20) + `\"]}"`)},
		"a list":   {Status: 200, Body: json.RawMessage(`[]`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := meta()
			s.Fail(f)
			c := client(s)
			c.MaxWait = -1
			_, err := c.Subscriptions(t.Context(), account)
			if refused, ok := errors.AsType[*graph.Error](err); !ok || refused.Advice() == "" || len(err.Error()) > 400 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestErrorTextsAreSanitized(t *testing.T) {
	t.Parallel()
	s := meta()
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": "red \x1b[31m\u009b31m\nline" + strings.Repeat("é", 5000), "code": 100}})
	s.Fail(graphtest.Fault{Status: 400, Body: body})
	_, err := client(s).Me(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b\n") || len(err.Error()) > 1200 || !strings.Contains(err.Error(), "red") {
		t.Errorf("got %q", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []graph.Client{
		{Login: "whatsapp"},
		{Version: "26"},
		{Version: "v26.0/../x"},
		{BaseURL: "graph.example.com"},
		{BaseURL: "ftp://graph.example.com"},
		{BaseURL: "http://graph.example.com"},
		{BaseURL: "http://localhost.example.com"},
		{BaseURL: "https://user:pass@graph.example.com"},
		{BaseURL: "https://graph.example.com/?a=b"},
		{BaseURL: "https://graph.example.com/#a"},
		{BaseURL: "https://%zz"},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, c := range []graph.Client{
		{}, {Login: graph.FacebookLogin, Version: "v24.0"}, {BaseURL: "https://proxy.example.com/graph/"},
		{BaseURL: "http://127.0.0.1:8080"}, {BaseURL: "http://[::1]:8080"}, {BaseURL: "http://localhost:8080"},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	s := meta()
	for _, id := range []string{"", "me", "1/2", "1?x", igToken, strings.Repeat("1", 21)} {
		err := client(s).Unsubscribe(t.Context(), id)
		if err == nil {
			t.Errorf("the id %q is taken", id)
		}
		noSecret(t, fmt.Sprint(err))
	}
	if n := len(s.Requests()); n > 0 {
		t.Errorf("%d requests were made with wrong ids", n)
	}
}

func TestVersionAndHost(t *testing.T) {
	t.Parallel()
	var got []string
	record := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
		return nil, context.Canceled
	})}
	for _, c := range []graph.Client{
		{HTTP: record}, {HTTP: record, Login: graph.FacebookLogin, Version: "v24.0"}, {HTTP: record, Login: graph.UnifiedLogin, Version: "v27.0"},
		{HTTP: record, BaseURL: "https://proxy.example.com/graph/"},
	} {
		_, _ = c.Me(t.Context())
	}
	want := []string{"https://graph.instagram.com/v26.0/me", "https://graph.facebook.com/v24.0/me", "https://graph.facebook.com/v27.0/me", "https://proxy.example.com/graph/v26.0/me"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
