package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/live"
)

// feed returns what the endpoints beside the queue show.
func (a *API) feed() *live.Feed {
	if a.Feed != nil {
		return a.Feed
	}
	return live.Shared
}

// Overview is how all that runs in this process is doing.
type Overview struct {
	Now    time.Time `json:"now"`
	Stores []Status  `json:"stores"`

	// Minutes are counts of the last day, Accounts when an event of each last came, and
	// AppSecrets when each last matched, all since the process began.
	Minutes    live.Counts      `json:"minutes"`
	Accounts   []live.Account   `json:"accounts"`
	AppSecrets []live.AppSecret `json:"app_secrets"`

	// URLs are the callback URLs of the running config, as far as its matchers tell.
	// Expiries is what they need that expires, the next first.
	URLs     []string `json:"urls"`
	Expiries []Expiry `json:"expiries"`
}

// overview shows all at once.
func (a *API) overview(r *request) (any, error) {
	stores, err := a.statuses(r)
	if err != nil {
		return nil, err
	}
	now, feed := time.Now(), a.feed()
	for _, store := range stores {
		for i := range store.Consumers {
			c := &store.Consumers[i]
			c.LastError = feed.LastError(c.Name)
		}
	}
	urls, expiries := webhooks(r.Context(), now)
	return Overview{
		URLs:       urls,
		Expiries:   expiries,
		Now:        now.UTC(),
		Stores:     stores,
		Minutes:    feed.Counts(now),
		Accounts:   feed.Accounts(),
		AppSecrets: feed.AppSecrets(),
	}, nil
}

// generation ends when the config of the admin endpoint is replaced. Caddy then waits for
// requests under way, so streams have to end.
var generation struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

// nextGeneration ends the streams of the admin endpoint that is replaced.
func nextGeneration() {
	g := &generation
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cancel != nil {
		g.cancel()
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
}

// untilReplaced returns contexts that end with the config.
func untilReplaced() (contexts []context.Context) {
	generation.mu.Lock()
	defer generation.mu.Unlock()
	if generation.ctx != nil {
		contexts = append(contexts, generation.ctx)
	}
	if running := caddy.ActiveContext(); running.Context != nil {
		contexts = append(contexts, running.Context)
	}
	return contexts
}

// Provision ends the streams of the config before. It implements caddy.Provisioner.
func (*API) Provision(caddy.Context) error {
	nextGeneration()
	return nil
}

// The times of a stream.
const (
	// heartbeat is how often a stream that has nothing to tell says so.
	heartbeat = 15 * time.Second

	// exitCheck is how often a stream looks whether Caddy exits, which waits for it.
	exitCheck = time.Second

	// writeTimeout is how long a client may take to receive something.
	writeTimeout = 30 * time.Second
)

// watch sends what happens as server-sent events, as it happens, until the client goes
// or the config is replaced. A client that then asks again with Last-Event-ID, as browsers
// do, misses nothing.
func (a *API) watch(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return reject(http.StatusMethodNotAllowed, "the method here is GET")
	}
	req, err := newRequest(r, "field consumer kind failed")
	if err != nil {
		return err
	}
	wanted, err := req.wanted()
	if err != nil {
		return err
	}
	after, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		after = live.Now // it is missing, or none of ours
	}
	reader, err := a.feed().Read(after)
	if err != nil {
		return reject(http.StatusServiceUnavailable, "%w", err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	for _, until := range untilReplaced() {
		defer context.AfterFunc(until, cancel)()
	}
	s := &stream{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetReadDeadline(time.Time{}) // that of the admin endpoint is for requests that end soon
	defer func() { _ = s.control.SetWriteDeadline(time.Time{}) }()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s.text = append(s.text, "retry: 1000\n\n"...)
	s.pump(ctx, reader, wanted)
	return nil
}

// wanted returns what selects the events of a stream.
func (r *request) wanted() (func(*live.Event) bool, error) {
	kind := live.Kind(r.query.Get("kind"))
	if !slices.Contains([]live.Kind{"", live.Delivery, live.Refusal, live.Attempt}, kind) {
		return nil, badRequest("the kind %q is none of delivery, refusal and attempt", kind)
	}
	failed, err := r.flag("failed")
	if err != nil {
		return nil, err
	}
	field := r.query.Get("field")
	return func(e *live.Event) bool {
		return (kind == "" || e.Kind == kind) &&
			(!failed || e.Failed()) &&
			(r.consumer == "" || e.Consumer == r.consumer) &&
			(field == "" || slices.Contains(strings.Fields(e.Field), field))
	}, nil
}

// stream is an answer of server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	text    []byte // not sent yet
}

// pump sends events until ctx ends or the client goes.
func (s *stream) pump(ctx context.Context, reader *live.Reader, wanted func(*live.Event) bool) {
	var batch [256]live.Event
	tick := time.NewTicker(exitCheck)
	defer tick.Stop()
	var sent time.Time
	for {
		n, missed, last := reader.Take(batch[:])
		if missed > 0 {
			s.text = fmt.Appendf(s.text, "event: missed\ndata: {\"missed\":%d}\n\n", missed)
		}
		for i := range batch[:n] {
			if e := &batch[i]; wanted(e) {
				s.add(e)
			}
		}
		if time.Since(sent) >= heartbeat {
			// The number alone: a browser remembers it, and shows nothing.
			s.text = fmt.Appendf(s.text, ": heartbeat\nid: %d\n\n", last)
		}
		if len(s.text) > 0 {
			if s.send() != nil {
				return
			}
			sent = time.Now()
		}
		if n == len(batch) && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-reader.Wake():
		case <-tick.C:
			if caddy.Exiting() {
				return
			}
		}
	}
}

// add adds an event to what is to be sent.
func (s *stream) add(e *live.Event) {
	data, err := encode(e)
	if err != nil {
		return // cannot happen: it has only text and numbers
	}
	s.text = fmt.Appendf(s.text, "id: %d\nevent: %s\ndata: %s\n\n", e.Number, e.Kind, data)
}

// send sends what was added.
func (s *stream) send() error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // tests have none
	_, err := s.w.Write(s.text)
	s.text = s.text[:0]
	if err == nil {
		err = s.control.Flush()
	}
	return err
}
