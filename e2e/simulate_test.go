package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/simulate"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

// played is what `caddy instagram simulate --json` prints.
type played struct {
	OK           bool
	Verification string
	simulate.Summary
	Ledger     int
	Signatures string
	Verified   *simulate.Report
	Error      struct{ Message string }
}

// simulated is a gateway at a URL with Caddy's own certificate, which is played
// Meta against by the command.
type simulated struct {
	*gateway
	url           string
	options, site string
	flags         []string // what every run needs
}

// newSimulated prepares a gateway of which content is the site.
func newSimulated(t *testing.T, content func(*simulated) string) *simulated {
	t.Helper()
	port := freePort(t)
	s := &simulated{
		gateway: newGateway(t),
		url:     fmt.Sprintf("https://localhost:%d/webhooks", port),
		options: "metrics\nauto_https disable_redirects",
	}
	s.site = fmt.Sprintf("https://localhost:%d {\n%s\n}", port, content(s))
	s.flags = []string{
		"--app-secret-file", s.write(t, "secret", secret+"\n"), "--verify-token-file", s.write(t, "token", token+"\n"),
		"--ca", filepath.Join(s.dir, "data", "caddy", "pki", "authorities", "local", "root.crt"),
	}
	return s
}

func (s *simulated) serve(t *testing.T) {
	t.Helper()
	s.start(t, s.options, s.site)
}

// begin begins a run of the command.
func (s *simulated) begin(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), caddyBinary, append([]string{"instagram", "simulate", "--json"}, args...)...)
	cmd.Env = environment()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, stderr
}

// end returns what a run printed, and fails the test if its exit code is not the
// one that is wanted.
func (s *simulated) end(t *testing.T, cmd *exec.Cmd, stdout, stderr *bytes.Buffer, want int) (p played) {
	t.Helper()
	err := cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", cmd, got, want, tail(stdout.String(), 40), tail(stderr.String(), 20))
	}
	if err := json.Unmarshal(stdout.Bytes(), &p); err != nil {
		t.Fatalf("%s: %v in %s", cmd, err, stdout)
	}
	if p.OK != (want == 0) {
		t.Errorf("%s: ok is %t", cmd, p.OK)
	}
	if text := stdout.String() + stderr.String(); strings.Contains(text, secret) || strings.Contains(text, token) {
		t.Errorf("%s printed a secret", cmd)
	}
	return p
}

// play runs the command against the gateway.
func (s *simulated) play(t *testing.T, want int, args ...string) played {
	t.Helper()
	cmd, stdout, stderr := s.begin(t, append(append([]string{"--to", s.url}, s.flags...), args...)...)
	return s.end(t, cmd, stdout, stderr, want)
}

// verify compares a ledger with what was kept.
func (s *simulated) verify(t *testing.T, want int, ledger string, args ...string) played {
	t.Helper()
	cmd, stdout, stderr := s.begin(t, append([]string{"--ledger", ledger}, args...)...)
	return s.end(t, cmd, stdout, stderr, want)
}

// TestSimulateAgainstFiles plays Meta against a gateway that demands the client
// certificate and writes files: full batches, then all that can go wrong on the
// way.
func TestSimulateAgainstFiles(t *testing.T) {
	t.Parallel()
	root := testpki.NewCA(t, "Outbound API root")
	s := newSimulated(t, func(s *simulated) string {
		return fmt.Sprintf(`tls {
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
}`, token, secret, s.write(t, "ca.pem", string(testpki.PEM(root))), s.out("events.jsonl"))
	})
	cert, key := writePair(t, s.gateway, root.Client(t).TLS())
	s.serve(t)
	file, ledger := s.out("events.jsonl"), filepath.Join(t.TempDir(), "acknowledged.txt")

	// Without the certificate nothing is taken, with another secret neither.
	if p := s.play(t, 1); p.Verification != "ok" || p.Answers["403"] != 2 || p.Accepted != 0 {
		t.Errorf("without a client certificate: %+v", p)
	}
	s.flags = append(s.flags, "--cert", cert, "--key", key)
	if p := s.play(t, 1, "--app-secret-file", s.write(t, "other", "another secret")); p.Answers["401"] != 2 || p.Accepted != 0 {
		t.Errorf("with another secret: %+v", p)
	}
	if p := s.play(t, 1, "--verify-token-file", s.write(t, "wrong", "another token")); !contains(p.Verification, "the status is 403") || p.Deliveries != 0 {
		t.Errorf("with another token: %+v", p)
	}

	// A time-out is no fault of the gateway's, on a machine that is busy.
	retry := []string{"--retry", "--speedup", "30", "--ledger", ledger, "--verify", file}
	p := s.play(t, 0, append(retry, "--batch", "1000", "--count", "6")...)
	if p.Accepted != 6 || p.Ledger != 6000 || p.Verified.Found != 6000 || p.Bytes < 6*200_000 {
		t.Errorf("full batches: %+v", p)
	}
	refused := fmt.Sprintf(`deliveries_total{result=%q,secret=""}`, "signature_mismatch")
	before := s.metric(t, refused)
	p = s.play(t, 0, append(retry, "--count", "400", "--batch", "3", "--concurrency", "8", "--duplicates", "10%", "--out-of-order", "--bad-signatures", "5%")...)
	switch {
	case p.Duplicates == 0 || p.Forged == 0 || p.Accepted != p.Deliveries-p.Forged || p.Failed+p.ForgedAccepted != 0,
		p.Deliveries != 400+p.Duplicates, p.Ledger != 6000+3*(400-p.Forged), p.Verified.Found != p.Ledger,
		p.Verified.Repeated < 3*p.Duplicates, p.Verified.Others != 0, p.Verified.Malformed != 0:
		t.Errorf("with faults: %+v %+v", p, p.Verified)
	}
	if forged := s.metric(t, refused) - before; forged != float64(p.Forged) {
		t.Errorf("the gateway counts %v forged deliveries, want %d", forged, p.Forged)
	}
	if kept := len(s.lines(t, "events.jsonl")); kept != p.Verified.Found+p.Verified.Repeated {
		t.Errorf("%d events in the file, want %d", kept, p.Verified.Found+p.Verified.Repeated)
	}

	// The events of the log, once more, are no others.
	if p = s.play(t, 0, append(retry, "--from-log", file, "--batch", "500")...); p.Verified.Others != 0 || p.Ledger != p.Verified.Found || p.Accepted < 10 {
		t.Errorf("from the log: %+v %+v", p, p.Verified)
	}
}

// writePair writes a certificate and its key as PEM files.
func writePair(t *testing.T, g *gateway, pair *tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return g.write(t, "client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))),
		g.write(t, "client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// TestSimulateThroughAKill kills the gateway in the middle of a run and starts
// it again. What was acknowledged must be in the file and in the queue, and
// everything reaches the application.
func TestSimulateThroughAKill(t *testing.T) {
	t.Parallel()
	a := startApplication(t)
	s := newSimulated(t, func(s *simulated) string {
		return fmt.Sprintf("tls internal\nhandle /webhooks {\n%s\ninstagram_file %q\ninstagram_queue {\nstore bolt %q\n%s\nreverse_proxy %s\n}\n}",
			webhook, s.out("events.jsonl"), s.out("queue.db"), quick, a.addr)
	})
	s.serve(t)
	ledger := filepath.Join(t.TempDir(), "acknowledged.txt")

	const deliveries, batch = 600, 3
	flags := append([]string{"--to", s.url, "--ledger", ledger, "--retry", "--speedup", "30"}, s.flags...)
	cmd, stdout, stderr := s.begin(t, append(flags, "--count", strconv.Itoa(deliveries), "--batch", strconv.Itoa(batch), "--rate", "200",
		"--concurrency", "16", "--duplicates", "5%", "--out-of-order", "--bad-signatures", "5%")...)
	s.awaitMetricThat(t, `deliveries_total{result="accepted",secret="instagram"}`, func(n float64) bool { return n >= deliveries/4 })
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.serve(t)

	p := s.end(t, cmd, stdout, stderr, 0)
	if p.Retries == 0 || p.Answers["connect"] == 0 || p.Failed+p.Unfinished+p.ForgedAccepted != 0 || p.Ledger != batch*(deliveries-p.Forged) {
		t.Errorf("%+v", p)
	}
	inFile := s.verify(t, 0, ledger, "--verify", s.out("events.jsonl")).Verified
	inQueue := s.verify(t, 0, ledger, "--verify-queue", "--address", s.admin).Verified
	for where, found := range map[string]*simulate.Report{"file": inFile, "queue": inQueue} {
		if found.Found != p.Ledger || found.Others != 0 {
			t.Errorf("in the %s: %+v", where, found)
		}
	}
	// The queue drops what comes again.
	if inFile.Repeated == 0 || inQueue.Repeated != 0 {
		t.Errorf("repeated: %d in the file, %d in the queue", inFile.Repeated, inQueue.Repeated)
	}
	a.awaitDelivered(t, p.Ledger)

	// An event that the queue forgets is missed.
	s.awaitMetric(t, fmt.Sprintf("queue_pending_events{store=%q}", s.out("queue.db")), 0)
	discard := exec.CommandContext(t.Context(), caddyBinary, "instagram", "queue", "discard", "1", "--address", s.admin)
	discard.Env = environment()
	if out, err := discard.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if lost := s.verify(t, 1, ledger, "--verify-queue", "--address", s.admin); len(lost.Verified.Missing) != 1 || !contains(lost.Error.Message, "1 of ") {
		t.Errorf("%+v %+v", lost, lost.Verified)
	}
}
