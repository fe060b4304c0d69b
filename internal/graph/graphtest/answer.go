package graphtest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// response is what the stand-in answers.
type response struct {
	status int
	body   any
}

func ok(body any) response { return response{http.StatusOK, body} }

// refuse returns an error as the Graph API words it.
func refuse(code, subcode int, message string) response {
	kind := "OAuthException"
	if code == 100 && subcode == 33 || strings.Contains(message, "appsecret_proof") {
		kind = "GraphMethodException"
	}
	e := map[string]any{"message": message, "type": kind, "code": code, "fbtrace_id": "AbCdEfGhIjKlMnOpQrStUvW"}
	if subcode != 0 {
		e["error_subcode"] = subcode
	}
	status := http.StatusBadRequest
	if code == 10 || 200 <= code && code <= 299 {
		status = http.StatusForbidden
	}
	return response{status, map[string]any{"error": e}}
}

func write(w http.ResponseWriter, r response) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(r.body)
}

var paths = regexp.MustCompile(`^(?:/v\d+\.\d+)?/(me|debug_token|refresh_access_token|\d+)(/subscribed_apps|/subscriptions)?$`)

// answer carries out a request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	match := paths.FindStringSubmatch(r.URL.Path)
	if match == nil {
		write(w, refuse(2500, 0, "Unknown path components: "+r.URL.Path))
		return
	}
	switch node, edge := match[1], match[2]; {
	case edge == "/subscriptions":
		write(w, s.callbacks(r, node))
	case edge == "/subscribed_apps":
		write(w, s.subscribed(r, node))
	case r.Method != http.MethodGet:
		write(w, unsupported(r))
	case node == "me":
		write(w, s.me(r))
	case node == "debug_token":
		write(w, s.debug(r))
	case node == "refresh_access_token":
		write(w, s.refreshed(r))
	default:
		write(w, s.linked(r, node))
	}
}

func unsupported(r *http.Request) response {
	return refuse(100, 0, "Unsupported request - method type: "+strings.ToLower(r.Method))
}

// credential returns the access token of a request.
func credential(r *http.Request) string {
	if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		return token
	}
	return r.Form.Get("access_token")
}
