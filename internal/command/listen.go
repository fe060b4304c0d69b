package command

import (
	"context"
	"crypto/hmac"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

func listenCommand() *cobra.Command {
	l := &listener{secret: appSecret, token: verifyToken}
	cmd := newCommand("listen <address>", "Receive deliveries and print what they hold", `
Stands in for your application: receives what instagram_webhook, a queue or Meta
itself sends, on any path, and prints a line for each event. Ctrl+C ends it.

With an app secret, deliveries whose signature is wrong are answered with 401. An
event is a duplicate if one with the same Idempotency-Key, or the same identity in
a delivery without one, was answered with 2xx before; the last 100,000 are known.
Verification requests are answered, those with a wrong token with 403 if the verify
token is given.

What people wrote is not printed unless --bodies asks for it. With --json, each
event is one JSON object in a line, and so is the summary at the end.

Exit codes:
  0  ended by Ctrl+C
  1  wrong usage, or nothing can be received at the address
`+outputCode, `  $ caddy instagram listen :9000
  $ caddy instagram listen 127.0.0.1:9000 --app-secret-file secret --bodies
  $ caddy instagram listen :9000 --answer 503 --after 3s --fail 10%`,
		1, l.listen)
	l.secret.register(cmd)
	l.token.register(cmd)
	f := cmd.Flags()
	f.IntVar(&l.answer, "answer", http.StatusOK, "Answer with this `status`")
	f.DurationVar(&l.after, "after", 0, "Answer after this `time`, such as 3s")
	f.Var(&l.fail, "fail", "Only this `share` of the answers, such as 10%, is that of --answer (default of that: 500); the others are 200")
	f.BoolVar(&l.bodies, "bodies", false, "Print bodies, too: they hold messages and names of people")
	return cmd
}

// listener is a receiver of deliveries as the flags of listen describe it.
type listener struct {
	secret, token secretSource
	key, verify   graph.Secret
	answer        int
	after         time.Duration
	fail          share
	failing       bool // --fail is given
	bodies        bool

	mu    sync.Mutex // guards what follows
	c     *console
	rows  *stream
	taken recentKeys
	sum   heard
}

func (l *listener) listen(ctx context.Context, c *console, args []string) (_ result, err error) {
	if l.key, err = l.secret.lookup(c); err != nil {
		return nil, err
	}
	if l.verify, err = l.token.lookup(c); err != nil {
		return nil, err
	}
	if l.failing = c.flags.Changed("fail"); l.failing && !c.flags.Changed("answer") {
		l.answer = http.StatusInternalServerError
	}
	switch {
	case len(args) == 0:
		return nil, errors.New("listen where? Give an address such as :9000")
	case l.answer < 200 || l.answer > 599:
		return nil, errors.New("--answer must be 200 to 599")
	case l.after < 0:
		return nil, errors.New("--after must not be negative")
	}
	if _, _, err := net.SplitHostPort(args[0]); err != nil {
		// It is not repeated: it may be a secret in the wrong place.
		return nil, errors.New("the address must be like :9000 or 127.0.0.1:9000")
	}
	socket, err := net.Listen("tcp", args[0])
	if err != nil {
		return nil, err
	}
	l.c = c
	c.note("Listening at %s; Ctrl+C ends it.", socket.Addr())
	if l.secret.warn(c, l.key); l.key == "" {
		c.note("Signatures are not checked: there is no app secret.")
	}
	return l.serve(ctx, socket)
}

// serve answers requests until ctx ends.
func (l *listener) serve(ctx context.Context, socket net.Listener) (result, error) {
	if !l.c.json {
		l.rows = newListenRows(l.c)
	}
	server := &http.Server{
		Handler: l, ReadHeaderTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }, // so that nobody waits for --after at the end
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(socket) }()
	select {
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if server.Shutdown(limited) != nil {
		_ = server.Close() // somebody is still sending
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c.json {
		l.c.encode(&l.sum, "")
		return nil, nil
	}
	return &l.sum, nil
}

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		l.answerVerification(w, r)
	case http.MethodPost:
		l.receive(w, r)
	default:
		http.Error(w, "POST deliveries here", http.StatusMethodNotAllowed)
	}
}

func (l *listener) answerVerification(w http.ResponseWriter, r *http.Request) {
	if r.FormValue(meta.ParamMode) != meta.ModeSubscribe {
		http.Error(w, "this is no verification request", http.StatusBadRequest)
		return
	}
	if l.verify != "" && !hmac.Equal([]byte(r.FormValue(meta.ParamToken)), []byte(l.verify)) {
		http.Error(w, "wrong verify token", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, r.FormValue(meta.ParamChallenge)) // nobody is left to tell
}

func (l *listener) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, handler.DefaultMaxSize))
	if err != nil {
		l.refuse(w, http.StatusRequestEntityTooLarge, "the body is too large, or broke off")
		return
	}
	if _, signature := simulate.Signatures(string(l.key), body); l.key != "" && !hmac.Equal([]byte(r.Header.Get(meta.HeaderSignature)), []byte(signature)) {
		l.refuse(w, http.StatusUnauthorized, "the signature is wrong, or missing")
		return
	}
	status := l.answer
	if l.failing && rand.Float64() >= float64(l.fail) {
		status = http.StatusOK
	}
	late := !l.pause(r.Context())
	l.record(r.Header, body, status, late)
	if late {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// pause waits as long as --after says, and reports whether the sender did, too.
func (l *listener) pause(ctx context.Context) bool {
	select {
	case <-time.After(l.after):
		return true
	case <-ctx.Done():
		return false
	}
}

// refuse answers a delivery that is not looked into.
func (l *listener) refuse(w http.ResponseWriter, status int, why string) {
	http.Error(w, why, status)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.Refused++
	l.print(&heardEvent{Time: time.Now().UTC(), Status: status, Refused: why})
}
