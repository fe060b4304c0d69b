package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

const (
	receiverSecret = "7e575ec4e77e575ec4e77e575ec4e700"
	receiverToken  = "t0ken-of-the-tests"
)

// receiver is a receiver that checks signatures and keeps what was accepted.
type receiver struct {
	*httptest.Server
	secret  string
	verify  bool             // whether it passes the verification
	accepts func(n int) bool // says whether the nth authentic delivery is; nil: all are

	mu     sync.Mutex
	bodies []string
	log    bytes.Buffer // of CloudEvents
	path   string       // of a file that the log is added to; "": none
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	p := &receiver{secret: receiverSecret, verify: true}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		query := r.URL.Query()
		if !p.verify || query.Get("hub.verify_token") != receiverToken {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.WriteString(w, query.Get("hub.challenge"))
		return
	}
	body, _ := io.ReadAll(r.Body)
	if _, signature := simulate.Signatures(p.secret, body); r.Header.Get("X-Hub-Signature-256") != signature {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies = append(p.bodies, string(body))
	if p.accepts != nil && !p.accepts(len(p.bodies)) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var lines []byte
	for _, ev := range event.Split(body) {
		lines = append(ev.AppendCloudEvent(lines), '\n')
	}
	p.log.Write(lines)
	if p.path == "" {
		return
	}
	file, err := os.OpenFile(p.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.Write(lines)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (p *receiver) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bodies)
}

// simulateIn runs the command and returns its exit code and what it wrote.
func simulateIn(t *testing.T, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return simulateUntil(t, t.Context(), in, args...)
}

func simulateUntil(t *testing.T, ctx context.Context, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	r := runCommand(ctx, in, append([]string{"simulate"}, args...)...)
	for _, secret := range []string{receiverSecret, receiverToken} {
		if strings.Contains(r.out+r.errors, secret) {
			t.Errorf("%q: a secret was printed:\n%s%s", args, r.out, r.errors)
		}
	}
	return r.status, r.out, r.errors
}

func writeFile(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func secretFile(t *testing.T) string { return writeFile(t, "secret", receiverSecret+"\n") }
func tokenFile(t *testing.T) string  { return writeFile(t, "token", receiverToken+"\n") }
