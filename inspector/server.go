package inspector

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

//go:embed page
var embedded embed.FS

// Server serves the page and its API to users who are known.
type Server struct {
	api    http.Handler // the endpoints of the admin API
	allow  []string
	logger *zap.Logger

	page   fs.FS
	mux    http.ServeMux // of what is below api/
	origin *http.CrossOriginProtection
}

// NewServer returns a Server that shows what the endpoints of an admin API know, in which
// users may change what is allowed.
func NewServer(api http.Handler, allow []string, logger *zap.Logger) *Server {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the name is valid
	}
	s := &Server{api: api, allow: allow, logger: logger, page: page, origin: http.NewCrossOriginProtection()}
	for pattern, e := range s.endpoints() {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(s, w, r) })
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, errors.New("there is no such endpoint"))
	})
	return s
}

// headers are those of all answers. The page needs nothing from elsewhere, and nobody else
// may use, show or keep what it shows.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cache-Control":                "no-store",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
}

func setHeaders(w http.ResponseWriter) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
}

// refuse answers 403 and says why.
func (*Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	setHeaders(w)
	if _, isAPI := split(r); isAPI {
		writeError(w, http.StatusForbidden, err)
		return
	}
	http.Error(w, err.Error(), http.StatusForbidden)
}

// split returns the last part of the path, and whether it is below api/. The page may be
// mounted anywhere, with or without the beginning of the path.
func split(r *http.Request) (rest string, isAPI bool) {
	if at := strings.LastIndex(r.URL.Path, "/api/"); at >= 0 {
		return r.URL.Path[at+len("/api"):], true
	}
	return r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], false
}

// Serve answers a request of a user.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, user string) {
	rest, isAPI := split(r)
	if !isAPI {
		setHeaders(w)
		s.servePage(w, r, rest)
		return
	}
	if err := s.check(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	setHeaders(w)
	asked := &http.Request{
		Method: r.Method, URL: &url.URL{Path: rest, RawQuery: r.URL.RawQuery},
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: http.Header{}, Body: http.NoBody, Host: r.Host, RemoteAddr: r.RemoteAddr, RequestURI: rest,
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		asked.Header.Set("Last-Event-ID", id)
	}
	s.mux.ServeHTTP(w, asked.WithContext(withUser(r.Context(), user)))
}

var errCrossSite = errors.New("this request comes from another site")

// check refuses what other sites have a browser send in the name of a user.
func (s *Server) check(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return errCrossSite
	}
	if s.origin.Check(r) != nil {
		return errCrossSite
	}
	return nil
}

// servePage serves a file of the page.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the method here is GET", http.StatusMethodNotAllowed)
		return
	}
	asked := r.URL.Path
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		asked = original.URL.Path
	}
	switch info, err := fs.Stat(s.page, name); {
	case name == "" && !strings.HasSuffix(asked, "/"):
		// What the page needs is beside it, where it is.
		w.Header().Set("Location", url.PathEscape(path.Base(asked))+"/")
		w.WriteHeader(http.StatusFound)
	case name == "":
		http.ServeFileFS(w, r, s.page, "index.html")
	case err != nil || info.IsDir() || name == "index.html":
		http.Error(w, "there is no such file: the path of the page ends with a slash", http.StatusNotFound)
	default:
		http.ServeFileFS(w, r, s.page, name)
	}
}

// endpoint is what is below api/.
type endpoint struct {
	method, path string // of the admin API; {id} is that of the event
	allow        string // what must be allowed

	// answer makes the answer of the admin API what the page expects. If it is nil, the
	// answer stays as it is.
	answer func(s *Server, user string, body []byte) (any, error)
}

func (s *Server) endpoints() map[string]*endpoint {
	const event = "/instagram/queue/events/{id}"
	return map[string]*endpoint{
		"GET /overview":             {http.MethodGet, "/instagram/overview", "", overview},
		"GET /live":                 {http.MethodGet, "/instagram/live", "", nil},
		"GET /events":               {http.MethodGet, "/instagram/events", "", nil},
		"GET /events/{id}":          {http.MethodGet, "/instagram/events/{id}", "", nil},
		"GET /dead":                 {http.MethodGet, "/instagram/dead", "", nil},
		"GET /refusals":             {http.MethodGet, "/instagram/refusals", "", refusals},
		"POST /check":               {http.MethodPost, "/instagram/check", "", nil},
		"POST /events/{id}/reveal":  {http.MethodPost, "/instagram/events/{id}/reveal", "", nil},
		"POST /events/{id}/retry":   {http.MethodPost, event + "/retry", retry, changed},
		"POST /events/{id}/discard": {http.MethodDelete, event, discard, nil},
		"POST /retry":               {http.MethodPost, "/instagram/queue/retry", retry, changed},
		"POST /discard":             {http.MethodPost, "/instagram/queue/discard", discard, changed},
		"POST /pause":               {http.MethodPost, "/instagram/queue/pause", pause, nil},
		"POST /resume":              {http.MethodPost, "/instagram/queue/resume", pause, nil},
	}
}

// serve asks the admin API.
func (e *endpoint) serve(s *Server, w http.ResponseWriter, r *http.Request) {
	user := userOf(r.Context())
	if e.allow != "" && !slices.Contains(s.allow, e.allow) {
		writeError(w, http.StatusForbidden, fmt.Errorf("%s is not allowed here: see 'allow' in the documentation of the inspector", e.allow))
		return
	}
	if id := r.PathValue("id"); strings.Trim(id, "0123456789") != "" {
		writeError(w, http.StatusNotFound, errors.New("there is no such event"))
		return
	}
	query, err := parameters(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	if e.allow != "" && query.Get("dry_run") != "true" {
		s.logger.Info("changed in the inspector", zap.String("by", sanitize.Text(user, maxUser)),
			zap.String("what", r.Method+" "+r.URL.Path), zap.String("parameters", sanitize.Text(query.Encode(), maxParameters)))
	}
	if strings.HasSuffix(e.path, "/reveal") || e.allow == discard { // the audit log tells of it
		query.Set("by", user)
	}
	asked := r.Clone(r.Context())
	asked.Method = e.method
	asked.URL = &url.URL{Path: strings.ReplaceAll(e.path, "{id}", r.PathValue("id")), RawQuery: query.Encode()}
	asked.RequestURI = asked.URL.String()
	if e.answer == nil {
		s.api.ServeHTTP(w, asked)
		return
	}
	answer := inprocess.Ask(s.api, asked)
	body := answer.Body.Bytes()
	if answer.Status == http.StatusOK {
		var made any
		if made, err = e.answer(s, user, body); err == nil {
			body, err = json.Marshal(made)
		}
		if err != nil {
			writeError(w, http.StatusBadGateway, fmt.Errorf("the answer of the admin API cannot be understood: %w", err))
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Status)
	_, _ = w.Write(body)
}

// The most that is logged, in bytes.
const (
	maxUser       = 200
	maxParameters = 500
)

// parameters returns the parameters of a request. The page writes true as 1. Who the user
// is, it does not say.
func parameters(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the parameters cannot be read")
	}
	query.Del("by")
	for _, flag := range []string{"test", "echo", "failed", "dry_run"} {
		if query.Get(flag) == "1" {
			query.Set(flag, "true")
		}
	}
	return query, nil
}

// overview adds who the user is and what is allowed.
func overview(s *Server, user string, body []byte) (any, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	allow := s.allow
	if allow == nil {
		allow = []string{}
	}
	for name, value := range map[string]any{"user": user, "allow": allow} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, nil
}

func refusals(_ *Server, _ string, body []byte) (any, error) {
	return map[string]json.RawMessage{"refusals": body}, nil
}

// changed is the answer to what retries or discards events.
func changed(_ *Server, _ string, body []byte) (any, error) {
	var done struct {
		Count    int    `json:"count"`
		InFlight int    `json:"in_flight"`
		Before   uint64 `json:"before"`
	}
	err := json.Unmarshal(body, &done)
	return struct {
		Events   int    `json:"events"`
		InFlight int    `json:"in_flight,omitempty"`
		Before   uint64 `json:"before,string,omitempty"`
	}{done.Count, done.InFlight, done.Before}, err
}

// writeError answers with an error.
func writeError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

type userKey struct{}

func withUser(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, userKey{}, user)
}

func userOf(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}
