//go:build linux && !race

package guard

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/freespace"
)

const config = `{
	admin off
	persist_config off
	log {
		output discard
	}
}
http://hooks.example.com {
	bind unix/DIR/socket
	handle /respond {
		respond 200
	}
	handle /webhook {
		instagram_webhook {
			verify_token token
			app_secret SECRET
		}
		respond 200
	}
	handle /file {
		instagram_webhook {
			verify_token token
			app_secret SECRET
		}
		instagram_file DIR/events.jsonl
	}
	handle /queue {
		instagram_webhook {
			verify_token token
			app_secret SECRET
		}
		instagram_queue {
			store sqlite DIR/queue.db
			timeout 1h
			reverse_proxy APPLICATION
		}
	}
}
`

const secret = "90a4d0123456789abcdef0123456789a"

// many is how many requests a step has, and at the same time how many senders
// there are where they send at the same time.
const many = 64

// few is how many large requests a step has.
const few = 8

// site is a Caddy with the paths in it, which is called without a network.
type site struct {
	t       *testing.T
	server  http.Handler
	samples *sample.Generator
}

func newSite(t *testing.T) *site {
	dir := inMemory(t)
	application, err := net.Listen("tcp", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { application.Close() })
	text := strings.NewReplacer("DIR", dir, "SECRET", secret, "APPLICATION", application.Addr().String()).Replace(config)
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	adapted, _, err := adapter.Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		application.Close() // the attempt under way ends
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, app.(*caddyhttp.App).Servers["srv0"], sample.New(1)}
}

// inMemory returns a directory whose files are in memory where there is such a
// thing, with room for all that is queued: the disk's own cost is not what is
// guarded.
func inMemory(t *testing.T) string {
	free, err := freespace.Of("/dev/shm")
	if err != nil || free < 1<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "guard-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// writer takes an answer.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) Write(b []byte) (int, error) { return len(b), nil }
func (w *writer) WriteHeader(status int)      { w.status = status }

// call is a request that is ready to be served.
type call struct {
	*http.Request
	body   []byte
	status int // that is wanted
}

type key string

const (
	signed key = secret
	forged key = "not-the-app-secret"
)

func (s *site) newCall(path string, body []byte, k key) call {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://hooks.example.com"+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(bareHMAC(body, k)))
	if k == forged {
		return call{r, body, http.StatusUnauthorized}
	}
	return call{r, body, http.StatusOK}
}

func bareHMAC(body []byte, k key) []byte {
	mac := hmac.New(sha256.New, []byte(k))
	mac.Write(body)
	return mac.Sum(nil)
}

func (s *site) serve(c call) {
	w := &writer{header: make(http.Header)}
	s.server.ServeHTTP(w, c.Request)
	if w.status != c.status {
		s.t.Errorf("%s was answered with %d, want %d", c.RequestURI, w.status, c.status)
	}
}

// calls returns many deliveries of one event.
func (s *site) calls(path string, k key) []call {
	calls := make([]call, many)
	for i := range calls {
		calls[i] = s.newCall(path, s.samples.Delivery(sample.Compact, 1, "messages"), k)
	}
	return calls
}

func (s *site) requests(path string, k key) func() func() {
	return func() func() {
		calls := s.calls(path, k)
		return func() {
			for _, c := range calls {
				s.serve(c)
			}
		}
	}
}

// requestsAndHMAC is the least that checking can cost.
func (s *site) requestsAndHMAC(path string) func() func() {
	return func() func() {
		calls := s.calls(path, signed)
		return func() {
			for _, c := range calls {
				bareHMAC(c.body, signed)
				s.serve(c)
			}
		}
	}
}

// concurrently has all requests sent at the same time.
func (s *site) concurrently(path string) func() func() {
	return func() func() {
		calls := s.calls(path, signed)
		return func() {
			var senders sync.WaitGroup
			for _, c := range calls {
				senders.Go(func() { s.serve(c) })
			}
			senders.Wait()
		}
	}
}

func (s *site) newBatch() []byte { return s.samples.Delivery(sample.Compact, 1000, "messages") }

func (s *site) batch(path string) func() func() {
	return func() func() {
		c := s.newCall(path, s.newBatch(), signed)
		return func() { s.serve(c) }
	}
}

// again sends one batch several times, so that most find buffers to use again.
// Bare HMAC is the least that checking them can cost.
func (s *site) again(path string, bare bool) func() func() {
	body := s.newBatch()
	return func() func() {
		var calls [few]call
		for i := range calls {
			calls[i] = s.newCall(path, body, signed)
		}
		return func() {
			for _, c := range calls {
				if bare {
					bareHMAC(c.body, signed)
				}
				s.serve(c)
			}
		}
	}
}

// split takes a batch apart and names its events.
func (s *site) split() func() func() {
	return func() func() {
		body := s.newBatch()
		return func() {
			for _, e := range event.Split(body) {
				_ = e.ID()
			}
		}
	}
}
