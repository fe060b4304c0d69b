package graphtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// instagramFields are the names that subscribed_apps takes with Instagram Login.
// They are not taken from the event package, which is tested against them.
var instagramFields = strings.Fields(`agent_messages comment_poll_response comments
	creator_marketplace_invited_creator_onboarding creator_marketplace_projects delta follow
	live_comments mentions message_edit message_reactions messages messaging_handover
	messaging_optins messaging_postbacks messaging_referral messaging_seen
	onboarding_welcome_message_series share_to_story standby story_insights
	story_poll_response story_reactions`)

// pageFields are the names that subscribed_apps takes for a Page, without those
// of the lines of its profile. They stand for themselves, too.
var pageFields = strings.Fields(`business_integrity call_permission_reply call_settings_update calls
	comment_poll_response conversations feed follow group_feed inbox_labels leadgen live_videos
	marketing_message_delivery_failed marketing_message_echoes mention merchant_review message_context
	message_deliveries message_echoes message_edits message_mention message_reactions message_reads
	message_template_status_update messages messaging_account_linking messaging_appointments
	messaging_checkout_updates messaging_customer_information messaging_feedback messaging_game_plays
	messaging_handovers messaging_in_thread_lead_form_submit messaging_integrity messaging_optins
	messaging_optouts messaging_payments messaging_policy_enforcement messaging_postbacks
	messaging_pre_checkouts messaging_referrals product_review ratings response_feedback send_cart
	standby story_poll_response user_action videos`)

// unifiedFields are the names that subscribed_apps takes with Unified Login.
var unifiedFields = strings.Fields(`comments live_comments mentions message_reactions messages
	messaging_postbacks messaging_referral messaging_seen story_insights`)

// subscribed serves the apps that are subscribed to an account.
func (s *Server) subscribed(r *http.Request, id string) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, refused := s.token(r)
	if t == nil {
		return refused
	}
	account := s.state.account(id)
	if account == nil || t.Account != id {
		return none(r, id)
	}
	switch r.Method {
	case http.MethodGet:
		apps := []map[string]any{}
		for _, app := range slices.Sorted(maps.Keys(account.Subscribed)) {
			fields := account.Subscribed[app]
			if t.login().Host() == graph.FacebookLogin.Host() {
				apps = append(apps, map[string]any{"id": app, "name": "An app", "subscribed_fields": fields})
			} else {
				apps = append(apps, map[string]any{"app_id": app, "subscribed_fields": fields})
			}
		}
		return ok(map[string]any{"data": apps})
	case http.MethodDelete:
		delete(account.Subscribed, t.App)
	case http.MethodPost:
		fields := strings.Split(r.Form.Get("subscribed_fields"), ",")
		if refused, isRefused := s.refuseFields(t, fields); isRefused {
			return refused
		}
		if account.Subscribed == nil {
			account.Subscribed = map[string][]string{}
		}
		slices.Sort(fields)
		account.Subscribed[t.App] = slices.Compact(fields)
	default:
		return unsupported(r)
	}
	return ok(map[string]any{"success": true})
}

// refuseFields returns the refusal of a list of fields, of which one that is
// wrong voids all.
func (s *Server) refuseFields(t *Token, fields []string) (response, bool) {
	login, valid, object := t.login(), instagramFields, "instagram"
	switch login {
	case graph.FacebookLogin:
		valid, object = pageFields, "page"
	case graph.UnifiedLogin:
		valid = unifiedFields
	}
	for i, field := range fields {
		if !slices.Contains(valid, field) {
			return refuse(100, 0, fmt.Sprintf("(#100) Param subscribed_fields[%d] must be one of {%s} - got %q.", i, strings.Join(valid, ", "), field)), true
		}
	}
	app := s.state.app(t.App)
	for _, field := range fields {
		if f, known := login.Field(field); known {
			needed := login.Permission(f)
			if needed != "" && needed != event.NotOffered && !slices.Contains(t.granted(), needed) {
				return refuse(10, 0, "(#10) Application does not have permission for this action: "+needed), true
			}
		}
		if b := app.callback(object); b == nil || !slices.Contains(b.Fields, field) {
			return refuse(100, 0, fmt.Sprintf("(#100) The app is not subscribed to the field %q", field)), true
		}
	}
	return response{}, false
}

func (a *App) callback(object string) *Callback {
	if i := slices.IndexFunc(a.Callbacks, func(b *Callback) bool { return b.Object == object }); i >= 0 {
		return a.Callbacks[i]
	}
	return nil
}

// callbacks serves the subscriptions of an app itself.
func (s *Server) callbacks(r *http.Request, id string) response {
	s.mu.Lock()
	app := s.state.app(id)
	allowed := app != nil && credential(r) == app.ID+"|"+app.Secret
	s.mu.Unlock()
	if !allowed {
		return refuse(190, 0, "Invalid OAuth access token signature.")
	}
	object := r.Form.Get("object")
	fields := strings.FieldsFunc(r.Form.Get("fields"), func(r rune) bool { return r == ',' })
	b := &Callback{object, r.Form.Get("callback_url"), fields, r.Form.Get("include_values") == "true"}
	if r.Method == http.MethodPost {
		if object == "" || len(fields) == 0 {
			return refuse(100, 0, "(#100) The parameter object and fields are required.")
		}
		valid := map[string][]string{"instagram": instagramFields, "page": pageFields}[object]
		if i := slices.IndexFunc(fields, func(f string) bool { return valid != nil && !slices.Contains(valid, f) }); i >= 0 {
			return refuse(100, 0, fmt.Sprintf("(#100) Invalid field %q for the object %s.", fields[i], object))
		}
		// Not under the lock: the callback may ask for things itself.
		if fault := s.verify(r.Context(), b.URL, r.Form.Get("verify_token")); fault != "" {
			return refuse(2200, 0, "(#2200) Callback verification failed with the following errors: "+fault)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(app.Callbacks), func(b *Callback) bool { return b.Object == object })
	switch r.Method {
	case http.MethodGet:
		return ok(map[string]any{"data": listed(app.Callbacks)})
	case http.MethodPost:
		app.Callbacks = append(others, b)
	case http.MethodDelete:
		switch old := app.callback(object); {
		case object == "":
			app.Callbacks = nil
		case old != nil && len(fields) > 0:
			old.Fields = slices.DeleteFunc(old.Fields, func(f string) bool { return slices.Contains(fields, f) })
			if len(old.Fields) == 0 {
				app.Callbacks = others
			}
		default:
			app.Callbacks = others
		}
	default:
		return unsupported(r)
	}
	return ok(map[string]any{"success": true})
}

func listed(callbacks []*Callback) []map[string]any {
	data := []map[string]any{}
	for _, b := range callbacks {
		var fields []map[string]any
		for _, f := range b.Fields {
			fields = append(fields, map[string]any{"name": f, "version": graph.DefaultVersion})
		}
		data = append(data, map[string]any{"object": b.Object, "callback_url": b.URL, "active": true, "fields": fields})
	}
	return data
}

func insecureClient() *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// verify calls a callback as Meta does. It returns what is wrong in
// Meta's words, or "".
func (s *Server) verify(ctx context.Context, callback, token string) string {
	u, err := url.Parse(callback)
	if err != nil || u.Host == "" {
		return "URL malformed"
	}
	challenge := fmt.Sprint(1e9 + rand.Int64N(9e9))
	u.RawQuery = url.Values{meta.ParamMode: {meta.ModeSubscribe}, meta.ParamChallenge: {challenge}, meta.ParamToken: {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "URL malformed"
	}
	req.Header.Set("User-Agent", meta.UserAgentVerification)
	resp, err := s.Callbacks.Do(req)
	if err != nil {
		if timeout, isNet := errors.AsType[net.Error](err); isNet && timeout.Timeout() {
			return "curl_errno = 28; curl_error = Operation timed out"
		}
		return "curl_errno = 7; curl_error = Failed to connect"
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("HTTP Status Code = %d; HTTP Message = %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil || string(body) != challenge {
		return fmt.Sprintf("Response does not match challenge, expected value=%q, received=%q", challenge, body)
	}
	return ""
}
