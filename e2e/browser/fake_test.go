package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// policy is the Content-Security-Policy of the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageDir holds the page.
const pageDir = "../inspector/page"

// m is an object in JSON.
type m = map[string]any

// fake is a server of the page with canned answers. What a test changes, it changes
// before it opens the page.
type fake struct {
	*httptest.Server

	allow  []string
	denied string // what each answer of the API says, if it is not empty
	busy   bool   // no more readers of live
	data   data

	mu    sync.Mutex
	posts []string // path and parameters of each change
	store string   // of the last list of events
	live  map[reader]bool
}

// reader is a reader of the stream.
type reader struct {
	messages chan string
	gone     <-chan struct{}
}

// newFake starts a fake that ends with the test.
func newFake(t *testing.T, data data) *fake {
	t.Helper()
	f := &fake{allow: []string{"retry", "discard", "pause"}, data: data, live: make(map[reader]bool)}
	mux := http.NewServeMux()
	mux.Handle("/below/inspector/", http.StripPrefix("/below/inspector/", http.FileServerFS(os.DirFS(pageDir))))
	api := http.NewServeMux()
	api.HandleFunc("GET /overview", f.answer(func(r *http.Request) any { return f.data.overview(f.allow) }))
	api.HandleFunc("GET /events", f.answer(f.list))
	api.HandleFunc("GET /events/{id}", f.answer(f.show))
	api.HandleFunc("GET /dead", f.answer(func(r *http.Request) any { return f.data.dead }))
	api.HandleFunc("GET /refusals", f.answer(func(r *http.Request) any { return m{"refusals": f.data.refusals} }))
	api.HandleFunc("GET /live", f.stream)
	api.HandleFunc("POST /", f.answer(f.change))
	mux.Handle("/below/inspector/api/", http.StripPrefix("/below/inspector/api", api))
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	t.Cleanup(f.cut)
	return f
}

// page is the address of the page.
func (f *fake) page() string { return f.URL + "/below/inspector/" }

func (f *fake) answer(do func(*http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := do(r)
		if f.denied != "" {
			w.WriteHeader(http.StatusForbidden)
			answer = m{"error": f.denied}
		}
		if answer == nil {
			w.WriteHeader(http.StatusNotFound)
			answer = m{"error": "there is no such event"}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// list answers with some of the events, and stops midway, as a server does that has looked
// for long enough.
func (f *fake) list(r *http.Request) any {
	query := r.URL.Query()
	f.mu.Lock()
	f.store = query.Get("store")
	f.mu.Unlock()
	limit := int(atoi(query.Get("limit")))
	found := []m{}
	looked := 0
	for _, e := range f.data.events {
		if query.Get("before") != "" && e.number() >= atoi(query.Get("before")) {
			continue
		}
		last := len(found) > 0 && found[len(found)-1]["id"] == e.id()
		if !last && (limit == 0 || looked >= 70) {
			return m{"events": found, "next": strconv.FormatUint(e.number()+1, 10)}
		}
		looked++
		matches := strings.HasPrefix(e.id(), query.Get("id"))
		for _, name := range []string{"state", "consumer", "field", "account"} {
			matches = matches && (query.Get(name) == "" || e.shown[name] == query.Get(name))
		}
		if matches {
			if found = append(found, e.shown); !last {
				limit--
			}
		}
	}
	return m{"events": found}
}

func (f *fake) find(id string) *event {
	i := slices.IndexFunc(f.data.events, func(e *event) bool { return e.id() == id })
	if i < 0 {
		return nil
	}
	return f.data.events[i]
}

func (f *fake) show(r *http.Request) any {
	e := f.find(r.PathValue("id"))
	if e == nil {
		return nil
	}
	var consumers []m
	for _, of := range f.data.events {
		if of.id() == e.id() {
			shown := m{"history": of.history}
			for name, value := range of.shown {
				shown[name] = value
			}
			consumers = append(consumers, shown)
		}
	}
	answer := m{"consumers": consumers, "headers": f.data.headers, "body": e.masked}
	if e.previous != "" {
		answer["previous"] = e.previous
	}
	if e.blockedBy != "" {
		answer["blocked_by"] = e.blockedBy
	}
	return answer
}

// change answers requests for changes, and keeps them. It changes nothing.
func (f *fake) change(r *http.Request) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	f.posts = append(f.posts, strings.TrimSuffix(path+"?"+r.URL.Query().Encode(), "?"))
	switch parts := strings.Split(path, "/"); {
	case parts[0] == "events" && parts[2] == "reveal":
		return m{"body": f.find(parts[1]).raw}
	case path == "check":
		return m{"url": r.URL.Query().Get("url"), "report": m{"findings": findings}}
	case path == "retry" || path == "discard":
		return m{"events": 27}
	default:
		return m{"events": 1}
	}
}

// changes returns the changes so far.
func (f *fake) changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.posts)
}

// stream sends what send is called with.
func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	if f.busy {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "retry: 200\n\n")
	w.(http.Flusher).Flush()
	me := reader{make(chan string), r.Context().Done()}
	f.mu.Lock()
	f.live[me] = true
	f.mu.Unlock()
	for {
		select {
		case text, ok := <-me.messages:
			if !ok {
				return
			}
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
		case <-me.gone:
			f.mu.Lock()
			delete(f.live, me)
			f.mu.Unlock()
			return
		}
	}
}

// send sends text to the readers of live, of which there is one.
func (f *fake) send(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		f.mu.Lock()
		n := len(f.live)
		for reader := range f.live {
			select {
			case reader.messages <- text:
			case <-reader.gone:
			}
		}
		f.mu.Unlock()
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody reads what happens")
		}
	}
}

// cut ends all streams, as a reload of Caddy does.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for reader := range f.live {
		close(reader.messages)
		delete(f.live, reader)
	}
}

// message is an event of the stream.
func message(kind string, data m) string {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", kind, text)
}
