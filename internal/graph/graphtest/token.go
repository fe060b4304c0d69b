package graphtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// token returns the token that a request is made with, or the refusal. The lock
// must be held.
func (s *Server) token(r *http.Request) (*Token, response) {
	value := credential(r)
	if value == "" {
		return nil, refuse(104, 0, "An access token is required to request this resource.")
	}
	t := s.state.token(value)
	if t == nil {
		return nil, refuse(190, 0, "Malformed access token "+value)
	}
	if strings.HasPrefix(r.Host, "graph.") && r.Host != t.login().Host() {
		return nil, refuse(190, 0, "Invalid OAuth access token - Cannot parse access token")
	}
	if dead := t.dead(); dead != 0 {
		return nil, refuse(190, dead, map[int]string{
			460: "Error validating access token: The session has been invalidated because the user changed their password.",
			463: "Error validating access token: Session has expired on " + t.Expires.Format(time.RFC1123) + ".",
			467: "Error validating access token: The session is invalid because the user logged out.",
		}[dead])
	}
	if app := s.state.app(t.App); t.login().Debugs() && app != nil {
		switch proof := r.Form.Get("appsecret_proof"); {
		case proof == "" && app.RequireProof:
			return nil, refuse(100, 0, "API calls from the server require an appsecret_proof argument")
		case proof != "" && proof != prove(value, app.Secret):
			return nil, refuse(100, 0, "Invalid appsecret_proof provided in the API argument")
		}
	}
	return t, response{}
}

func prove(token, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// dead returns the subcode of code 190 that tells why the token is dead, or 0.
func (t *Token) dead() int {
	if t.Subcode == 0 && !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return 463
	}
	return t.Subcode
}

// login returns the login that the token is of.
func (t *Token) login() graph.Login {
	switch {
	case t.Facebook:
		return graph.FacebookLogin
	case t.Unified:
		return graph.UnifiedLogin
	}
	return graph.InstagramLogin
}

// granted returns the permissions that were granted.
func (t *Token) granted() []string {
	if len(t.Permissions) > 0 {
		return t.Permissions
	}
	return t.login().Permissions(instagramFields).All()
}

func (s *State) token(value string) *Token {
	if i := slices.IndexFunc(s.Tokens, func(t *Token) bool { return t.Value == value }); i >= 0 {
		return s.Tokens[i]
	}
	return nil
}

func (s *State) app(id string) *App {
	if i := slices.IndexFunc(s.Apps, func(a *App) bool { return a.ID == id }); i >= 0 {
		return s.Apps[i]
	}
	return nil
}

func (s *State) account(id string) *Account {
	if i := slices.IndexFunc(s.Accounts, func(a *Account) bool { return a.ID == id }); i >= 0 {
		return s.Accounts[i]
	}
	return nil
}

func (s *Server) me(r *http.Request) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.token(r)
	if t == nil {
		return refused
	}
	account := s.state.account(t.Account)
	app := slices.IndexFunc(s.state.Apps, func(a *App) bool { return a.ID == t.App })
	known := map[graph.Login]map[string]any{
		// The id is another one for each app.
		graph.InstagramLogin: {"user_id": account.ID, "username": account.Name, "id": fmt.Sprint(2+max(0, app)) + account.ID[1:]},
		graph.FacebookLogin:  {"id": account.ID, "name": account.Name},
		// It is nobody's account.
		graph.UnifiedLogin: {"id": "122" + account.ID[3:], "name": "System user of " + account.Name},
	}[t.login()]
	answer := map[string]any{"id": known["id"]}
	for _, field := range strings.FieldsFunc(r.Form.Get("fields"), func(r rune) bool { return r == ',' }) {
		if known[field] == nil {
			return refuse(100, 0, fmt.Sprintf("(#100) Tried accessing nonexisting field (%s)", field))
		}
		answer[field] = known[field]
	}
	return ok(answer)
}

// linked serves the Instagram account that a Page is linked to.
func (s *Server) linked(r *http.Request, id string) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.token(r)
	if t == nil {
		return refused
	}
	account := s.state.account(id)
	if account == nil || t.Account != id || r.Form.Get("fields") != "instagram_business_account" {
		return none(r, id)
	}
	answer := map[string]any{"id": id}
	if account.Linked != "" {
		answer["instagram_business_account"] = map[string]any{"id": account.Linked}
	}
	return ok(answer)
}

// debug looks into a token, for its owner or its app. It answers for a dead one,
// too.
func (s *Server) debug(r *http.Request) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.state.token(r.Form.Get("input_token"))
	if t == nil || !t.login().Debugs() {
		return refuse(190, 0, "Invalid OAuth access token - Cannot parse access token")
	}
	if app := s.state.app(t.App); app == nil || credential(r) != app.ID+"|"+app.Secret {
		if asker, refused := s.token(r); asker == nil {
			return refused
		}
	}
	kind, expires := "PAGE", int64(0)
	if t.Unified {
		kind = "SYSTEM_USER"
	}
	if !t.Expires.IsZero() {
		expires = t.Expires.Unix()
	}
	return ok(map[string]any{"data": map[string]any{
		"app_id": t.App, "type": kind, "is_valid": t.dead() == 0, "profile_id": t.Account,
		"issued_at": t.Issued.Unix(), "expires_at": expires, "data_access_expires_at": 0,
		"scopes": t.granted(),
	}})
}

// refreshed makes a new token of one that is old enough and not dead.
func (s *Server) refreshed(r *http.Request) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.token(r)
	switch {
	case t == nil:
		return instagram(refused)
	case r.Form.Get("grant_type") != "ig_refresh_token", !t.login().Refreshes():
		return instagram(refuse(100, 0, "Unsupported request - method type: get"))
	case time.Since(t.Issued) < 24*time.Hour:
		return instagram(refuse(100, 0, "The access token must be at least 24 hours old to be refreshed."))
	}
	s.refresh++
	if t.Lasting {
		t.Issued, t.Expires = time.Now(), time.Now().Add(graph.TokenLife)
		return ok(map[string]any{"access_token": t.Value, "token_type": "bearer", "expires_in": int64(graph.TokenLife / time.Second)})
	}
	renewed := *t
	renewed.Value = fmt.Sprintf("%s-renewed-%d", t.Value, s.refresh)
	renewed.Issued = time.Now()
	renewed.Expires = renewed.Issued.Add(graph.TokenLife)
	s.state.Tokens = append(s.state.Tokens, &renewed)
	return ok(map[string]any{"access_token": renewed.Value, "token_type": "bearer", "expires_in": int64(graph.TokenLife / time.Second)})
}

// instagram gives a refusal the type that graph.instagram.com uses.
func instagram(refused response) response {
	if e, isError := refused.body.(map[string]any)["error"].(map[string]any); isError {
		e["type"] = "IGApiException"
	}
	return refused
}

// none is what a request gets that may not see an object.
func none(r *http.Request, id string) response {
	if r.Method != http.MethodGet {
		return unsupported(r)
	}
	return refuse(100, 33, fmt.Sprintf("Unsupported get request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, or does not support this operation.", id))
}
