// Package graphtest is a stand-in for Meta's Graph API in tests, written from
// what Meta documents and does. It keeps apps, accounts and tokens, validates
// like Meta, and fails on demand.
package graphtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// State is all that the stand-in knows. Its JSON is what Main reads.
type State struct {
	Apps     []*App     `json:"apps,omitempty"`
	Accounts []*Account `json:"accounts,omitempty"`
	Tokens   []*Token   `json:"tokens,omitempty"`
	Faults   []*Fault   `json:"faults,omitempty"`
}

// App is an app at Meta.
type App struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`

	// RequireProof refuses calls to graph.facebook.com that have no
	// appsecret_proof.
	RequireProof bool `json:"require_proof,omitempty"`

	// Callbacks are the subscriptions of the app itself.
	Callbacks []*Callback `json:"callbacks,omitempty"`
}

// Callback is the subscription of an app to an object.
type Callback struct {
	Object string   `json:"object"`
	URL    string   `json:"callback_url"`
	Fields []string `json:"fields"`
	Values bool     `json:"include_values"`
}

// Account is an Instagram account, or a Page.
type Account struct {
	ID   string `json:"id"`
	Name string `json:"name"`

	// Linked is the Instagram account that a Page is linked to.
	Linked string `json:"linked,omitempty"`

	// Subscribed has the fields of each subscribed app, by its id.
	Subscribed map[string][]string `json:"subscribed,omitempty"`
}

// Token is an access token of an account.
type Token struct {
	Value   string `json:"value"`
	App     string `json:"app"`
	Account string `json:"account"`

	// Facebook marks a token of Facebook Login, Unified one of Unified Login,
	// which is a system user's and can be used for Account.
	Facebook bool `json:"facebook,omitempty"`
	Unified  bool `json:"unified,omitempty"`

	// Issued and Expires are when the token was made and ends. Defaults: two
	// days before, and sixty days after Issued, or never for one of Unified
	// Login.
	Issued  time.Time `json:"issued,omitzero"`
	Expires time.Time `json:"expires,omitzero"`

	// Lasting has a renewal return the same token, with a later end.
	Lasting bool `json:"lasting,omitempty"`

	// Subcode, if not 0, is why the token is dead: 460 or 467.
	Subcode int `json:"subcode,omitempty"`

	// Permissions are those that were granted; all if there are none.
	Permissions []string `json:"permissions,omitempty"`
}

// Fault makes requests fail.
type Fault struct {
	// Method and Path tell which: those with this method (all, if empty) and
	// with a path that ends so.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`

	// After is how many of these requests are served before, Times how many
	// fail. Default: one.
	After int `json:"after,omitempty"`
	Times int `json:"times,omitempty"`

	// Status, Header and Body are the answer. Default: status 500. Body may be
	// an object or a string.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`

	// Drop breaks the connection instead of answering.
	Drop bool `json:"drop,omitempty"`

	// Done carries out the request before it fails.
	Done bool `json:"done,omitempty"`

	// Ignored says that the request succeeded, and does nothing.
	Ignored bool `json:"ignored,omitempty"`
}

// Request is a request that was made.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`

	// URI is what a proxy on the way would have written to its log.
	URI string `json:"uri"`

	// Form has all parameters, of the query and the body.
	Form map[string][]string `json:"form,omitempty"`

	Time time.Time `json:"time"`
}

// Server is the stand-in. It is an http.Handler, safe for concurrent use.
type Server struct {
	// Callbacks calls the callback URLs that apps set. Default: a client that
	// believes any certificate.
	Callbacks *http.Client

	mu       sync.Mutex
	state    State
	requests []Request
	refresh  int
	usage    map[string]string // headers of answers
}

// New returns a stand-in that knows state, which it then owns.
func New(state State) *Server {
	for _, t := range state.Tokens {
		if t.Issued.IsZero() {
			t.Issued = time.Now().Add(-48 * time.Hour)
		}
		if t.Expires.IsZero() && !t.Unified {
			t.Expires = t.Issued.Add(graph.TokenLife)
		}
	}
	return &Server{state: state, Callbacks: insecureClient()}
}

// Client returns a client whose requests reach the stand-in without a network,
// whatever their host.
func (s *Server) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ http.Handler }

func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if dropped := recover(); dropped != nil {
			if dropped != http.ErrAbortHandler {
				panic(dropped)
			}
			resp, err = nil, http.ErrServerClosed
		}
	}()
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	t.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// Requests returns the requests so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// State returns a copy of all that the stand-in knows.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.Marshal(s.state)
	if err != nil {
		panic(err) // nothing in it can fail
	}
	var copied State
	if err := json.Unmarshal(data, &copied); err != nil {
		panic(err)
	}
	return copied
}

// Fail adds a fault.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Faults = append(s.state.Faults, &f)
}

// Use sets headers that tell how much of Meta's limits is used up.
func (s *Server) Use(headers map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage = headers
}

// Change changes what the stand-in knows.
func (s *Server) Change(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

// fault returns the fault that a request runs into, or nil.
func (s *Server) fault(method, path string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.state.Faults {
		if f.Method != "" && f.Method != method || !strings.HasSuffix(path, f.Path) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		if f.Times--; f.Times <= 0 {
			s.state.Faults = slices.Delete(s.state.Faults, i, i+1)
		}
		return f
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		write(w, refuse(100, 0, "(#100) "+err.Error()))
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.RequestURI, r.Form, time.Now()})
	w.Header().Set("X-App-Usage", `{"call_count":1,"total_cputime":0,"total_time":0}`)
	for key, value := range s.usage {
		w.Header().Set(key, value)
	}
	s.mu.Unlock()

	f := s.fault(r.Method, r.URL.Path)
	switch {
	case f == nil:
		s.answer(w, r)
	case f.Ignored:
		write(w, ok(map[string]any{"success": true}))
	default:
		if f.Done {
			s.answer(httptest.NewRecorder(), r)
		}
		if f.Drop {
			panic(http.ErrAbortHandler)
		}
		f.write(w)
	}
}

func (f *Fault) write(w http.ResponseWriter) {
	for key, value := range f.Header {
		w.Header().Set(key, value)
	}
	body := []byte(f.Body)
	var text string
	if json.Unmarshal(body, &text) == nil {
		body = []byte(text)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	}
	w.WriteHeader(cmp.Or(f.Status, http.StatusInternalServerError))
	_, _ = w.Write(body)
}
