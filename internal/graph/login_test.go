package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

func TestNamesOfAnotherLoginVoidTheWholeCall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		client  func(*graphtest.Server) *graph.Client
		account string
		index   int
		field   string
	}{
		"Instagram's name for a Page":        {pageClient, page, 1, "messaging_seen"},
		"what no Page has":                   {pageClient, page, 1, "comments"},
		"a Page's name":                      {client, account, 0, "message_reads"},
		"a Page's name, with Unified Login":  {unifiedClient, account, 0, "message_reads"},
		"a tenth field, with Unified Login":  {unifiedClient, account, 0, "message_edit"},
		"a Page's field, with Unified Login": {unifiedClient, account, 0, "feed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := meta()
			c := test.client(s)
			if err := c.Subscribe(t.Context(), test.account, []string{"messages"}); err != nil {
				t.Fatal(err)
			}
			err := c.Subscribe(t.Context(), test.account, []string{"messages", test.field})
			if refused, ok := errors.AsType[*graph.Error](err); !ok || refused.Code != 100 || !strings.Contains(err.Error(), fmt.Sprintf("%q", test.field)) {
				t.Errorf("got %v", err)
			}
			if got := s.State().Accounts[test.index].Subscribed[appID]; !slices.Equal(got, []string{"messages"}) {
				t.Errorf("a refused call changed the fields to %v", got)
			}
			if slices.Contains(c.Login.Fields(), test.field) || !slices.Contains(c.Login.Fields(), "messages") {
				t.Errorf("the client takes other fields for valid: %q", c.Login.Fields())
			}
		})
	}
}

// TestUnifiedLoginKnowsNoPage asks for a Page where the account must be
// Instagram's, and for an Instagram account where it must be a Page.
func TestUnifiedLoginKnowsNoPage(t *testing.T) {
	t.Parallel()
	s := meta()
	for id, c := range map[string]*graph.Client{page: unifiedClient(s), account: pageClient(s)} {
		_, err := c.Subscriptions(t.Context(), id)
		refused, ok := errors.AsType[*graph.Error](err)
		if !ok || refused.Code != 100 || refused.Subcode != 33 || !strings.Contains(refused.Advice(), "or with Facebook Login of the Page") {
			t.Errorf("%s: got %v", c.Login, err)
		}
	}
}

// TestTokensAtTheWrongHost uses tokens with another login than their own.
func TestTokensAtTheWrongHost(t *testing.T) {
	t.Parallel()
	s := meta()
	for _, c := range []*graph.Client{
		{Token: sysToken, HTTP: s.Client()}, {Token: pageToken, HTTP: s.Client()},
		{Login: graph.UnifiedLogin, Token: igToken, HTTP: s.Client()},
	} {
		_, err := c.Me(t.Context())
		if refused, ok := errors.AsType[*graph.Error](err); !ok || refused.Code != 190 || !strings.Contains(refused.Advice(), "the login in use") {
			t.Errorf("%s: got %v", c.Login, err)
		}
	}
}

func TestPermissionsOfEachLogin(t *testing.T) {
	t.Parallel()
	for login, want := range map[graph.Login][]string{
		graph.InstagramLogin: {"instagram_business_basic", "instagram_business_manage_comments", "instagram_business_manage_messages"},
		graph.FacebookLogin: {"instagram_basic", "instagram_manage_comments", "instagram_manage_insights", "instagram_manage_messages",
			"pages_manage_metadata", "pages_read_engagement", "pages_show_list"},
		graph.UnifiedLogin: {"instagram_basic", "instagram_manage_comments", "instagram_manage_insights", "instagram_manage_messages"},
	} {
		p := login.Permissions([]string{"comments", "messages", "messaging_seen", "story_insights"})
		if got := p.All(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", login, got, want)
		}
		if offered := login != graph.InstagramLogin; (p.NotOffered == nil) != offered {
			t.Errorf("%s: not offered are %q", login, p.NotOffered)
		}
		if got := login.Permissions(nil); !slices.Equal(got.All(), got.Basic) || len(got.Basic) == 0 {
			t.Errorf("%s: without fields, got %+v", login, got)
		}
	}
	p := graph.FacebookLogin.Permissions([]string{"message_reads"})
	if !slices.Equal(p.Needed["instagram_manage_messages"], []string{"message_reads"}) {
		t.Errorf("a Page's own name: got %+v", p)
	}
}

// TestTheTokenIsNoName has a server make names and all else of what it was sent.
func TestTheTokenIsNoName(t *testing.T) {
	t.Parallel()
	const marker = "s3cr3t+/&"
	echoing := func(echo string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{
				"id": "1", "user_id": "1", "name": echo, "username": echo + "\x1b[31m",
				"data": []any{map[string]any{"app_id": echo, "object": echo, "callback_url": "https://" + echo,
					"subscribed_fields": []string{echo}, "fields": []any{map[string]string{"name": echo}}}},
			})
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	debugged := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := marker + r.FormValue("appsecret_proof")
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"app_id": text, "type": url.QueryEscape(text), "is_valid": true, "scopes": []string{text},
		}})
	}))
	t.Cleanup(debugged.Close)
	for _, login := range graph.Logins() {
		for _, echo := range []string{marker, "a" + marker + "b", url.QueryEscape(marker)} {
			c := &graph.Client{Login: login, BaseURL: echoing(echo), Token: marker, AppSecret: "app-" + marker}
			owner, err := c.Me(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			subscriptions, err := c.Subscriptions(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			callbacks, err := c.Callbacks(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprintf("%+v %+v %+v", owner, subscriptions, callbacks)
			if strings.Contains(all, "s3cr3t") || strings.Contains(all, "\x1b") || strings.Count(all, "[secret]") < 6 {
				t.Errorf("%s: got %q", login, all)
			}
		}
	}
	c := &graph.Client{Login: graph.UnifiedLogin, BaseURL: debugged.URL, Token: marker, AppSecret: "another"}
	d, err := c.Debug(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%+v", d); strings.Contains(all, "s3cr3t") || strings.Count(all, "[secret][secret]") != 3 {
		t.Errorf("got %q", all)
	}
}

func TestNumbersSurviveCleaning(t *testing.T) {
	t.Parallel()
	s := meta()
	s.Fail(graphtest.Fault{Path: "/debug_token", Status: 200, Body: json.RawMessage(`{"data":{"app_id":"1234567890","is_valid":true,"expires_at":9007199254740993}}`)})
	if got, err := pageClient(s).Debug(t.Context()); err != nil || got.App != appID || got.Expires.UTC().Year() != 9999 {
		t.Errorf("got %+v, %v", got, err)
	}
	s.Fail(graphtest.Fault{Path: "/debug_token", Status: 200, Body: json.RawMessage(`{"data":{"expires_at":1799999999}}`)})
	if got, err := pageClient(s).Debug(t.Context()); err != nil || got.Expires.Unix() != 1799999999 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestEachErrorOfMetaHasAdvice goes through the codes that Meta documents.
func TestEachErrorOfMetaHasAdvice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		codes   [][2]int
		advice  string
		message string
	}{
		{codes: [][2]int{{190, 463}}, advice: "An expired token cannot be refreshed"},
		{codes: [][2]int{{190, 460}}, advice: "changed the password"},
		{codes: [][2]int{{190, 467}}, advice: "logged out or took the app's rights away"},
		{codes: [][2]int{{190, 0}}, advice: "belongs to the login in use"},
		{codes: [][2]int{{200, 2534041}}, advice: "“Allow access to messages”"},
		{codes: [][2]int{{10, 0}, {200, 0}, {230, 0}, {299, 0}}, advice: "lacks a permission"},
		{codes: [][2]int{{3, 0}}, advice: "Advanced Access"},
		{codes: [][2]int{{100, 33}}, advice: "The id is wrong"},
		{codes: [][2]int{{100, 0}}, message: "Unsupported request - method type: post", advice: "has a role on the app"},
		{codes: [][2]int{{100, 0}}, advice: "nothing was changed"},
		{codes: [][2]int{{2200, 0}}, advice: "did not answer with the challenge"},
		{codes: [][2]int{{4, 0}, {17, 0}, {32, 0}, {613, 0}, {80002, 0}}, advice: "too many calls"},
		{codes: [][2]int{{1, 0}, {2, 0}}, advice: "passing problem"},
		{codes: [][2]int{{368, 0}}, advice: "Quote fbtrace_id"},
	} {
		for _, code := range test.codes {
			s := meta()
			body, err := json.Marshal(map[string]any{"error": map[string]any{"message": "(#x) no. " + test.message, "type": "IGApiException", "code": code[0],
				"error_subcode": code[1], "error_user_title": "A title", "error_user_msg": "What the user is told", "fbtrace_id": "Trace"}})
			if test.message != "" {
				body = []byte(strings.Replace(string(body), "(#x) no. ", "", 1))
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Fail(graphtest.Fault{Status: 400, Body: body})
			c := client(s)
			c.MaxWait = -1
			_, err = c.Subscriptions(t.Context(), account)
			refused, ok := errors.AsType[*graph.Error](err)
			if !ok || !strings.Contains(refused.Advice(), test.advice) {
				t.Errorf("%v: got %v, advice %q", code, err, refused.Advice())
			}
			for _, said := range []string{"A title: What the user is told", fmt.Sprintf("code %d", code[0]), "IGApiException", "fbtrace_id Trace"} {
				if !strings.Contains(err.Error(), said) {
					t.Errorf("%v: the error does not say %q: %v", code, said, err)
				}
			}
		}
	}
}
