package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

const (
	appID     = "1234567890"
	appSecret = "0123456789abcdef0123456789abcdef"
	account   = "17841400000000001"
	page      = "100000000000001"
	igToken   = "IGAA-instagram-token"
	pageToken = "EAAB-page-token"
	sysToken  = "EAAU-system-user-token"
)

// meta returns a stand-in with one app, an Instagram account and a Page, and a
// token of each login.
func meta() *graphtest.Server {
	return graphtest.New(graphtest.State{
		Apps: []*graphtest.App{{ID: appID, Secret: appSecret, Callbacks: []*graphtest.Callback{
			{Object: "instagram", URL: "https://hooks.example.com/webhooks", Fields: []string{"comments", "messages", "mentions"}, Values: true},
			{Object: "page", URL: "https://hooks.example.com/webhooks", Fields: []string{"feed", "messages"}, Values: true},
		}}},
		Accounts: []*graphtest.Account{{ID: account, Name: "gardens"}, {ID: page, Name: "Gardens", Linked: account}},
		Tokens: []*graphtest.Token{
			{Value: igToken, App: appID, Account: account},
			{Value: pageToken, App: appID, Account: page, Facebook: true, Permissions: []string{"instagram_manage_messages"}},
			{Value: sysToken, App: appID, Account: account, Unified: true},
		},
	})
}

func client(s *graphtest.Server) *graph.Client {
	return &graph.Client{Token: igToken, HTTP: s.Client()}
}

func pageClient(s *graphtest.Server) *graph.Client {
	return &graph.Client{Login: graph.FacebookLogin, Token: pageToken, HTTP: s.Client()}
}

func unifiedClient(s *graphtest.Server) *graph.Client {
	return &graph.Client{Login: graph.UnifiedLogin, Token: sysToken, HTTP: s.Client()}
}

func appClient(s *graphtest.Server) *graph.Client {
	return &graph.Client{Login: graph.FacebookLogin, Token: graph.AppToken(appID, appSecret), HTTP: s.Client()}
}

// noSecret fails if a text holds one of the secrets.
func noSecret(t *testing.T, text string, more ...string) {
	t.Helper()
	for _, secret := range slices.Concat([]string{appSecret, igToken, pageToken, sysToken}, more) {
		if strings.Contains(text, secret) {
			t.Errorf("a secret stands in %q", text)
		}
	}
}
