package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// addressVariable is where the application is to listen.
const addressVariable = "E2E_ADDRESS"

// attempt is a request as it reached the application, and how it ended.
type attempt struct {
	URI, Host  string
	Header     http.Header
	Body       []byte
	Status     int   // that was answered, perhaps not to the end; 0: none
	Begin, End int64 // in microseconds since 1970
	Unanswered bool  // the caller went away, or the connection was cut
}

func (a *attempt) id() string { return a.Header.Get("Ce-Id") }

// delivered reports whether the application has taken the event.
func (a *attempt) delivered() bool { return a.Status/100 == 2 && !a.Unanswered }

// rule says how the application behaves when a text stands in the body.
type rule struct {
	Match      string        // "": in every body
	Times      int           // how often the rule applies; 0: always
	Status     int           // 0: 200
	RetryAfter string        // header of the answer
	Secret     string        // app secret to check the signature with; 403 if it is wrong
	Cut        string        // where the answer breaks off: header, body or chunk
	Delay      time.Duration // before the answer
	Hold       bool          // do not answer before there are other rules
}

// script is an application behind a queue that does what the rules of a test say,
// and remembers each attempt.
type script struct {
	addr string

	mu      sync.Mutex
	changed chan struct{} // closed when something below changes
	server  *http.Server
	rules   []rule
	ended   []attempt // in the order in which they ended
	begun   int
	holding int
}

// applicationMain is that application. It listens where the variable says, and
// for orders of the test elsewhere. It ends when its parent does.
func applicationMain() {
	s := &script{addr: os.Getenv(addressVariable), changed: make(chan struct{})}
	orders, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = s.up()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Printf("taking orders on %s\n", orders.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(orders, http.HandlerFunc(s.order)))
	os.Exit(1)
}

// order does what the test asks for.
func (s *script) order(w http.ResponseWriter, r *http.Request) {
	var err error
	switch number, _ := strconv.Atoi(r.FormValue("n")); r.URL.Path {
	case "/rules":
		var rules []rule
		if err = json.NewDecoder(r.Body).Decode(&rules); err == nil {
			s.change(func() { s.rules = rules })
		}
	case "/ended": // all from the n-th on; waits for one
		s.wait(r, func() bool { return len(s.ended) > number })
		s.mu.Lock()
		ended := s.ended[min(number, len(s.ended)):]
		s.mu.Unlock()
		err = json.NewEncoder(w).Encode(ended)
	case "/holding": // waits for n
		s.wait(r, func() bool { return s.holding >= number })
	case "/idle": // waits for all to end
		s.wait(r, func() bool { return len(s.ended) == s.begun })
		s.mu.Lock()
		fmt.Fprint(w, len(s.ended))
		s.mu.Unlock()
	case "/down":
		s.down()
	case "/drain": // waits for all that was sent to be read and to end
		if err = s.running().Shutdown(r.Context()); err == nil {
			err = s.up()
		}
	case "/up":
		err = s.up()
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// change calls fn and tells who waits.
func (s *script) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns when the test has gone, or something is true.
func (s *script) wait(r *http.Request, isTrue func() bool) {
	for {
		s.mu.Lock()
		changed, done := s.changed, isTrue()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *script) up() error {
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s}
	s.change(func() { s.server = server })
	go func() { _ = server.Serve(listener) }()
	return nil
}

// down closes the port and all connections.
func (s *script) down() { _ = s.running().Close() }

func (s *script) running() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// ServeHTTP takes an event, or not.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := attempt{URI: r.RequestURI, Host: r.Host, Header: r.Header, Begin: time.Now().UnixMicro()}
	s.change(func() { s.begun++ })
	var err error
	if a.Body, err = io.ReadAll(r.Body); err != nil {
		s.change(func() { s.begun-- }) // nobody knows what it is
		return
	}
	rule, ok := s.rule(r, string(a.Body))
	if !ok {
		a.Unanswered = true
		s.end(&a)
		return
	}
	a.Status = rule.Status
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	if rule.Secret != "" && "sha256="+hexHMAC256(rule.Secret, a.Body) != r.Header.Get("X-Hub-Signature-256") {
		a.Status = http.StatusForbidden
	}
	a.Unanswered = rule.Cut != ""
	// Before the answer: what the gateway knows, the test finds here.
	s.end(&a)
	if rule.RetryAfter != "" {
		w.Header().Set("Retry-After", rule.RetryAfter)
	}
	switch rule.Cut {
	case "header":
		cut(w, "HTTP/1.1 200 OK\r\nContent-Le")
	case "body":
		cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
	case "chunk":
		cut(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
	default:
		w.WriteHeader(a.Status)
		_, _ = fmt.Fprintf(w, "the application says %d", a.Status)
	}
}

func (s *script) end(a *attempt) {
	a.End = time.Now().UnixMicro()
	s.change(func() { s.ended = append(s.ended, *a) })
}

// rule returns the rule for a body, after its delay. It reports false if the
// caller went away meanwhile.
func (s *script) rule(r *http.Request, body string) (found rule, ok bool) {
	s.mu.Lock()
	for i := range s.rules {
		one := &s.rules[i]
		if one.Times < 0 || !strings.Contains(body, one.Match) {
			continue
		}
		found = *one
		switch one.Times {
		case 0:
		case 1:
			one.Times = -1 // used up
		default:
			one.Times--
		}
		break
	}
	s.mu.Unlock()
	if found.Delay > 0 {
		select {
		case <-time.After(found.Delay):
		case <-r.Context().Done():
			return found, false
		}
	}
	if !found.Hold {
		return found, true
	}
	return s.hold(r, body, found.Match)
}

// hold waits until the rules do not hold this body any more.
func (s *script) hold(r *http.Request, body, match string) (rule, bool) {
	s.change(func() { s.holding++ })
	defer s.change(func() { s.holding-- })
	for {
		s.mu.Lock()
		changed, held := s.changed, false
		for _, one := range s.rules {
			held = held || one.Hold && one.Match == match
		}
		s.mu.Unlock()
		if !held {
			return s.rule(r, body)
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return rule{}, false
		}
	}
}

// cut writes the beginning of an answer and closes the connection.
func cut(w http.ResponseWriter, beginning string) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = buffered.WriteString(beginning)
	_ = buffered.Flush()
	_ = conn.Close()
}
