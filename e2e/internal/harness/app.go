package harness

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// App is an application behind Caddy. It knows nothing of Meta's signatures,
// unless a rule says so, and answers 200 with an [Echo], unless a rule says
// otherwise.
type App struct {
	Addr string

	mu      sync.Mutex
	server  *http.Server
	rules   []Rule
	changed chan struct{} // closed when there are other rules
	ended   []Attempt     // in the order in which they ended
	begun   int
	holding int
}

// StartApp starts an application that ends with the test.
func StartApp(t testing.TB, rules ...Rule) *App {
	t.Helper()
	a := &App{Addr: FreeAddr(t), rules: rules, changed: make(chan struct{})}
	a.Up(t)
	t.Cleanup(a.Down)
	return a
}

// Behave has the application follow these rules instead of those before.
func (a *App) Behave(rules ...Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rules = rules
	close(a.changed)
	a.changed = make(chan struct{})
}

// Up opens the port.
func (a *App) Up(t testing.TB) {
	t.Helper()
	var listener net.Listener
	Wait(t, "the port of the application is free", func() (free bool) {
		var err error
		listener, err = net.Listen("tcp", a.Addr)
		return err == nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server = &http.Server{Handler: a}
	go func(server *http.Server) { _ = server.Serve(listener) }(a.server)
}

// Down closes the port and all connections.
func (a *App) Down() {
	_ = a.running().Close()
	awaitForks()
}

// Drain waits for all that was sent to be read and to end.
func (a *App) Drain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	if err := a.running().Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	awaitForks()
	a.Up(t)
}

func (a *App) running() *http.Server {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.server
}

// ServeHTTP answers a request as the rules say.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	attempt := Attempt{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header,
		ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding, Begin: time.Now(),
	}
	a.count(&a.begun, 1)
	var err error
	if attempt.Body, err = io.ReadAll(r.Body); err != nil {
		a.count(&a.begun, -1) // nobody knows what it is
		return
	}
	rule, ok := a.rule(r, string(attempt.Body))
	if !ok {
		attempt.Unanswered = true
		a.end(&attempt)
		return
	}
	attempt.Unanswered = rule.Cut != ""
	attempt.Status = rule.Status
	if attempt.Status == 0 {
		attempt.Status = http.StatusOK
	}
	if rule.Secret != "" && "sha256="+HMAC(rule.Secret, attempt.Body) != r.Header.Get("X-Hub-Signature-256") {
		attempt.Status = http.StatusForbidden
	}
	a.end(&attempt) // before the answer: what Caddy knows, the test finds here
	answer(w, &rule, &attempt)
}

func (a *App) count(counter *int, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*counter += n
}

func (a *App) end(attempt *Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	attempt.End = time.Now()
	a.ended = append(a.ended, *attempt)
}

// rule returns the rule for a request, after its delay, once it is not held. One
// that is to be cut keeps its rule. It reports false if the caller went away
// meanwhile.
func (a *App) rule(r *http.Request, body string) (rule Rule, ok bool) {
	rule, changed := a.apply(r, body)
	if rule.Hold {
		a.count(&a.holding, 1)
		for rule.Hold {
			select {
			case <-changed:
			case <-r.Context().Done():
				a.count(&a.holding, -1)
				return rule, false
			}
			if rule.Cut != "" {
				break
			}
			rule, changed = a.apply(r, body)
		}
		a.count(&a.holding, -1)
	}
	if rule.Delay > 0 {
		select {
		case <-time.After(rule.Delay):
		case <-r.Context().Done():
			return rule, false
		}
	}
	return rule, true
}

// apply returns the first rule for a request, and a channel that is closed when
// there are others.
func (a *App) apply(r *http.Request, body string) (Rule, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.rules {
		rule := &a.rules[i]
		if rule.Times < 0 || rule.Path != "" && rule.Path != r.URL.Path || !strings.Contains(body, rule.Match) {
			continue
		}
		switch rule.Times {
		case 0:
		case 1:
			rule.Times = -1 // used up
		default:
			rule.Times--
		}
		return *rule, a.changed
	}
	return Rule{}, a.changed
}
