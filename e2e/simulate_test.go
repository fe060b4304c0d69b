package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
	"github.com/caddy-instagram/webhooks/internal/simulate"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// result is what `caddy instagram simulate --json` prints.
type result struct {
	OK           bool
	Verification string
	simulate.Summary
	Ledger     int
	Signatures string
	Verified   *simulate.Report
	Error      struct{ Message string }
}

// simulator runs `caddy instagram simulate` against a Caddy with a certificate of
// its own making.
type simulator struct {
	*harness.Caddy
	root  string   // file of the root of its certificate
	flags []string // what every run needs
}

func newSimulator(t *testing.T) *simulator {
	t.Helper()
	s := &simulator{Caddy: harness.NewCaddy(t)}
	s.Options = "metrics\nauto_https disable_redirects"
	s.Name = strings.Replace(s.Base("localhost"), "http:", "https:", 1)
	s.URL = s.Name + "/webhooks"
	s.root = filepath.Join(s.Dir, "data", "caddy", "pki", "authorities", "local", "root.crt")
	s.flags = []string{
		"--app-secret-file", s.Write(t, "secret", harness.Secret+"\n"),
		"--ca", s.root,
		"--verify-token-file", s.Write(t, "token", harness.Token+"\n"),
	}
	return s
}

// Serve starts Caddy with one site, of this content, and returns when it has its certificate.
func (s *simulator) Serve(t *testing.T, format string, args ...any) {
	t.Helper()
	s.Caddy.Serve(t, format, args...)
	root, err := os.ReadFile(s.root)
	if err != nil {
		t.Fatal(err)
	}
	s.Roots = x509.NewCertPool()
	s.Roots.AppendCertsFromPEM(root)
	s.WaitHandshake(t, "localhost")
}

// command is a run of simulate under way.
type command struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// begin begins a run against Caddy.
func (s *simulator) begin(t *testing.T, args ...string) *command {
	t.Helper()
	return s.start(t, append(append([]string{"--to", s.URL}, s.flags...), args...)...)
}

// run runs simulate against Caddy, with the exit code that is wanted.
func (s *simulator) run(t *testing.T, want int, args ...string) result {
	t.Helper()
	return s.begin(t, args...).end(t, want)
}

// verify compares a ledger with what was kept.
func (s *simulator) verify(t *testing.T, want int, ledger string, args ...string) result {
	t.Helper()
	return s.start(t, append([]string{"--ledger", ledger}, args...)...).end(t, want)
}

func (s *simulator) start(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{Cmd: s.Command(append([]string{"instagram", "simulate", "--json"}, args...)...)}
	c.Stdout, c.Stderr = &c.stdout, &c.stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// end returns what a run printed, and fails the test if its exit code is not the
// one that is wanted.
func (c *command) end(t *testing.T, want int) (r result) {
	t.Helper()
	err := c.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != want {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", c, got, want,
			harness.Tail(c.stdout.String(), 40), harness.Tail(c.stderr.String(), 20))
	}
	if err := json.Unmarshal(c.stdout.Bytes(), &r); err != nil {
		t.Fatalf("%s: %v in %s", c, err, &c.stdout)
	}
	if r.OK != (want == 0) {
		t.Errorf("%s: ok is %t", c, r.OK)
	}
	text := c.stdout.String() + c.stderr.String()
	if strings.Contains(text, harness.Secret) || strings.Contains(text, harness.Token) {
		t.Errorf("%s printed a secret", c)
	}
	return r
}

// TestSimulateAgainstFiles acts as Meta against a Caddy that demands the client
// certificate and writes files: full batches, then all that can go wrong on the
// way.
func TestSimulateAgainstFiles(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Outbound API root")
	s := newSimulator(t)
	cert, key := writePair(t, s.Caddy, root.Client(t).TLS())
	s.Serve(t, `tls {
	issuer internal
	client_auth {
		mode request
	}
}
handle /webhooks {
	instagram_webhook {
		verify_token %q
		app_secret instagram %s
		client_cert {
			trust_pool file %q
		}
	}
	instagram_file %q
}`, harness.Token, harness.Secret, s.Write(t, "ca.pem", string(testpki.PEM(root))), s.Out("events.jsonl"))
	file, ledger := s.Out("events.jsonl"), filepath.Join(t.TempDir(), "acknowledged.txt")

	// Without the certificate nothing is taken, with another secret neither.
	if p := s.run(t, 1); p.Verification != "ok" || p.Answers["403"] != 2 || p.Accepted != 0 {
		t.Errorf("without a client certificate: %+v", p)
	}
	s.flags = append(s.flags, "--cert", cert, "--key", key)
	if p := s.run(t, 1, "--app-secret-file", s.Write(t, "other", "another secret")); p.Answers["401"] != 2 || p.Accepted != 0 {
		t.Errorf("with another secret: %+v", p)
	}
	p := s.run(t, 1, "--verify-token-file", s.Write(t, "wrong", "another token"))
	if !strings.Contains(p.Verification, "the status is 403") || p.Deliveries != 0 {
		t.Errorf("with another token: %+v", p)
	}

	// A time-out is no fault of Caddy's, on a machine that is busy.
	retry := []string{"--retry", "--speedup", "30", "--ledger", ledger, "--verify", file}
	p = s.run(t, 0, append(retry, "--batch", "1000", "--count", "6")...)
	if p.Accepted != 6 || p.Ledger != 6000 || p.Verified.Found != 6000 || p.Bytes < 6*200_000 {
		t.Errorf("full batches: %+v", p)
	}
	refused := fmt.Sprintf(`deliveries_total{result=%q,secret=""}`, "signature_mismatch")
	before := s.Metric(t, refused)
	p = s.run(t, 0, append(retry, "--count", "400", "--batch", "3", "--concurrency", "8",
		"--duplicates", "10%", "--out-of-order", "--bad-signatures", "5%")...)
	switch {
	case p.Duplicates == 0 || p.Forged == 0 || p.Accepted != p.Deliveries-p.Forged || p.Failed+p.ForgedAccepted != 0,
		p.Deliveries != 400+p.Duplicates, p.Ledger != 6000+3*(400-p.Forged), p.Verified.Found != p.Ledger,
		p.Verified.Repeated < 3*p.Duplicates, p.Verified.Others != 0, p.Verified.Malformed != 0:
		t.Errorf("with faults: %+v %+v", p, p.Verified)
	}
	if forged := s.Metric(t, refused) - before; forged != float64(p.Forged) {
		t.Errorf("Caddy counts %v forged deliveries, want %d", forged, p.Forged)
	}
	if kept := len(s.Lines(t, "events.jsonl")); kept != p.Verified.Found+p.Verified.Repeated {
		t.Errorf("%d events in the file, want %d", kept, p.Verified.Found+p.Verified.Repeated)
	}

	// The events of the log, once more, are no others.
	p = s.run(t, 0, append(retry, "--from-log", file, "--batch", "500")...)
	if p.Verified.Others != 0 || p.Ledger != p.Verified.Found || p.Accepted < 10 {
		t.Errorf("from the log: %+v %+v", p, p.Verified)
	}
}

// writePair writes a certificate and its key as PEM files.
func writePair(t *testing.T, c *harness.Caddy, pair *tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return c.Write(t, "client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))),
		c.Write(t, "client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// TestSimulateThroughAKill kills Caddy in the middle of a run and starts
// it again. What was acknowledged must be in the file and in the queue, and
// everything reaches the application.
func TestSimulateThroughAKill(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	s := newSimulator(t)
	serve := func() {
		s.Serve(t, `tls internal
handle /webhooks {
	%s
	instagram_file %q
	instagram_queue {
		store sqlite %q
		%s
		reverse_proxy %s
	}
}`, harness.Webhook, s.Out("events.jsonl"), s.Queue, harness.QuickRetry, app.Addr)
	}
	serve()
	ledger := filepath.Join(t.TempDir(), "acknowledged.txt")

	const deliveries, batch = 600, 3
	running := s.begin(t, "--ledger", ledger, "--retry", "--speedup", "30",
		"--count", strconv.Itoa(deliveries), "--batch", strconv.Itoa(batch),
		"--rate", "100", "--concurrency", "16", "--duplicates", "5%", "--out-of-order", "--bad-signatures", "5%")
	s.WaitMetricThat(t, `deliveries_total{result="accepted",secret="instagram"}`, func(n float64) bool {
		return n >= deliveries/4
	})
	s.Kill(t)
	serve()

	p := running.end(t, 0)
	if p.Retries == 0 || p.Answers["connect"] == 0 ||
		p.Failed+p.Unfinished+p.ForgedAccepted != 0 || p.Ledger != batch*(deliveries-p.Forged) {
		t.Errorf("%+v", p)
	}
	inFile := s.verify(t, 0, ledger, "--verify", s.Out("events.jsonl")).Verified
	inQueue := s.verify(t, 0, ledger, "--verify-queue", "--address", s.Admin).Verified
	for where, found := range map[string]*simulate.Report{"file": inFile, "queue": inQueue} {
		if found.Found != p.Ledger || found.Others != 0 {
			t.Errorf("in the %s: %+v", where, found)
		}
	}
	// The queue drops what comes again.
	if inFile.Repeated == 0 || inQueue.Repeated != 0 {
		t.Errorf("repeated: %d in the file, %d in the queue", inFile.Repeated, inQueue.Repeated)
	}
	app.WaitDelivered(t, p.Ledger)

	// An event that the queue forgets is missed.
	s.WaitQueueEmpty(t)
	if out, err := s.Run("instagram", "queue", "discard", "1", "--address", s.Admin); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lost := s.verify(t, 1, ledger, "--verify-queue", "--address", s.Admin)
	if len(lost.Verified.Missing) != 1 || !strings.Contains(lost.Error.Message, "1 of ") {
		t.Errorf("%+v %+v", lost, lost.Verified)
	}
}

// TestSimulateBesideThePathIsNoSuccess acts as Meta against a path, and a host, that
// the config has no route for: Caddy answers with an empty 200, and nothing is kept.
func TestSimulateBesideThePathIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newSimulator(t)
	s.Serve(t, "tls internal\nhandle /webhooks {\n%s\ninstagram_file %q\n}", harness.Webhook, s.Out("events.jsonl"))
	s.flags = s.flags[:4] // without the verify token
	if p := s.run(t, 0, "--count", "3"); p.Accepted != 3 || p.Signatures != "checked" {
		t.Errorf("on the path: %+v", p)
	}
	kept := len(s.Lines(t, "events.jsonl"))
	right := s.URL
	for _, beside := range []string{"/", "/instagram"} {
		s.URL = right + beside
		p := s.run(t, 1, "--count", "3")
		if p.Answers["200"] != 3 || p.Signatures != "not checked" ||
			!strings.Contains(p.Error.Message, "a forged delivery is answered with an empty 200") {
			t.Errorf("on %s: %+v", beside, p)
		}
	}
	if now := len(s.Lines(t, "events.jsonl")); now != kept || kept != 3 {
		t.Errorf("%d events in the file, then %d", kept, now)
	}
}
