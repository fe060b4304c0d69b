package command

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSimulateRefusesFlags(t *testing.T) {
	t.Parallel()
	const to = "http://127.0.0.1:1/"
	secret := secretFile(t)
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--to is needed", nil},
		{"--to is needed", []string{"--ledger", "x"}},
		{"unknown flag: --nope", []string{"--nope"}},
		{"takes flags only", []string{"--to", to, "extra"}},
		{"--to: the callback URL must begin with", []string{"--to", "localhost:8080", "--app-secret-file", secret}},
		{"no such file", []string{"--to", to, "--app-secret-file", "none"}},
		{"the standard input holds no app secret: it is empty", []string{"--to", to, "--app-secret-file", "-"}},
		{"long holds no app secret: it is longer than 4096 bytes", []string{"--to", to, "--app-secret-file", writeFile(t, "long", strings.Repeat("x", 5000))}},
		{"[app-secret app-secret-file] were all set", []string{"--to", to, "--app-secret-file", "-", "--app-secret", "x"}},
		{"[field file] were all set", []string{"--to", to, "--file", "x", "--field", "comments"}},
		{"[file from-log] were all set", []string{"--to", to, "--file", "x", "--from-log", "x"}},
		{"[batch test-button] were all set", []string{"--to", to, "--test-button", "--batch", "2"}},
		{"--field: coments is not a field of Instagram's webhooks; the nearest are comments and ", []string{"--to", to, "--field", "coments"}},
		{"--field is empty: give it a value, or leave it out", []string{"--to", to, "--field", ""}},
		{"--count must not be negative", []string{"--to", to, "--count", "-1"}},
		{"--batch must be 1 to 1000", []string{"--to", to, "--batch", "1001"}},
		{"--concurrency must be 1 to 10000", []string{"--to", to, "--concurrency", "0"}},
		{"--concurrency must be 1 to 10000", []string{"--to", to, "--concurrency", "10001"}},
		{"--rate must not be negative", []string{"--to", to, "--rate", "NaN"}},
		{"--speedup must be more than 0", []string{"--to", to, "--speedup", "0"}},
		{"--speedup must be more than 0", []string{"--to", to, "--speedup", "Inf"}},
		{"it must be a percentage such as 5%", []string{"--to", to, "--duplicates", "5"}},
		{"it must be a percentage such as 5%", []string{"--to", to, "--bad-signatures", "101%"}},
		{"it must be a percentage such as 5%", []string{"--to", to, "--bad-signatures", "NaN"}},
		{"[cert key] are set they must all be set", []string{"--to", to, "--cert", "x"}},
		{"[verify verify-queue] were all set", []string{"--to", to, "--verify", "x", "--verify-queue"}},
		{"--store is for --verify-queue", []string{"--to", to, "--store", "x"}},
		{"--cert: ", []string{"--to", to, "--app-secret-file", secret, "--cert", "none", "--key", "none"}},
		{"--key: ", []string{"--to", to, "--app-secret-file", secret, "--cert", secret, "--key", "none"}},
		{"--cert and --key: ", []string{"--to", to, "--app-secret-file", secret, "--cert", secret, "--key", secret}},
		{"--ca: ", []string{"--to", to, "--app-secret-file", secret, "--ca", "none"}},
		{"--ca: it is longer than 4 MiB", []string{"--to", to, "--app-secret-file", secret, "--ca", sparse(t, maxPEM+1)}},
		{"--file: it is longer than 64 MiB", []string{"--to", to, "--app-secret-file", secret, "--file", sparse(t, maxBody+1)}},
		{"holds no certificate in PEM", []string{"--to", to, "--app-secret-file", secret, "--ca", secret}},
		{"--file: ", []string{"--to", to, "--app-secret-file", secret, "--file", "none"}},
		{"the event file: ", []string{"--to", to, "--app-secret-file", secret, "--from-log", "none"}},
		{"opening the ledger: ", []string{"--to", to, "--app-secret-file", secret, "--ledger", t.TempDir()}},
		{"opening the ledger: ", []string{"--ledger", "none", "--verify", "none"}},
		{"verifying the ledger: ", []string{"--ledger", secret, "--verify", "none"}},
	} {
		code, _, errs := simulateIn(t, "", tc.args...)
		if code != 2 || !strings.HasPrefix(errs, "Error: ") || !strings.Contains(errs, tc.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit code %d, %s", tc.args, code, errs)
		}
	}
}

// sparse returns the path of a file of a size, which takes no space.
func sparse(t *testing.T, size int64) (path string) {
	t.Helper()
	path = writeFile(t, "sparse", "")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSimulateReadsOneSecretFromStandardInput(t *testing.T) {
	t.Parallel()
	code, _, errs := simulateIn(t, "a\nb\n", "--to", "http://127.0.0.1:1/", "--app-secret-file", "-")
	if code != 2 || !strings.Contains(errs, "the standard input holds no app secret: it has several lines") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	code, _, errs = simulateIn(t, "a\n", "--to", "http://127.0.0.1:1/", "--app-secret-file", "-", "--verify-token-file", "-")
	if code != 2 || !strings.Contains(errs, "the app secret and the verify token cannot both come from the standard input") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// TestSimulateSecrets takes the secret and the token from each place. It needs
// the environment for itself.
func TestSimulateSecrets(t *testing.T) {
	p := newReceiver(t)
	for name, tc := range map[string]struct {
		environment bool
		in          string
		secret      string
		args        []string
	}{
		"environment":     {true, "", receiverSecret, nil},
		"files":           {false, "", receiverSecret, []string{"--app-secret-file", secretFile(t), "--verify-token-file", tokenFile(t)}},
		"standard input":  {true, receiverSecret + "-in\n", receiverSecret + "-in", []string{"--app-secret-file", "-"}},
		"one newline":     {true, "a\n", "a", []string{"--app-secret-file", "-"}},
		"of Windows":      {true, "a\r\n", "a", []string{"--app-secret-file", "-"}},
		"argument":        {true, "", "from the argument", []string{"--app-secret", "from the argument"}},
		"file goes first": {true, "", "b", []string{"--app-secret-file", writeFile(t, "b", "b")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("IG_APP_SECRET", "")
			t.Setenv("IG_VERIFY_TOKEN", "")
			if tc.environment {
				t.Setenv("IG_APP_SECRET", receiverSecret)
				t.Setenv("IG_VERIFY_TOKEN", receiverToken)
			}
			p.secret = tc.secret
			code, out, errs := simulateIn(t, tc.in, append([]string{"--to", p.URL}, tc.args...)...)
			if code != 0 || !strings.Contains(out, "verification  ok\n") || !strings.Contains(out, "accepted      2 of 2") {
				t.Errorf("exit code %d, %s%s", code, out, errs)
			}
		})
	}
}

func TestSimulateWithoutSecrets(t *testing.T) {
	t.Setenv("IG_APP_SECRET", "")
	t.Setenv("IG_VERIFY_TOKEN", "")
	for want, args := range map[string][]string{
		"the app secret is missing: set IG_APP_SECRET":     {"--to", "http://127.0.0.1:1/"},
		"the verify token is missing: set IG_VERIFY_TOKEN": {"--to", "http://127.0.0.1:1/", "--count", "0"},
	} {
		if code, out, errs := simulateIn(t, "", args...); code != 2 || !strings.HasPrefix(errs, "Error: "+want) {
			t.Errorf("%q: exit code %d, %s%s", args, code, out, errs)
		}
	}
}

// TestSimulateOnlyVerifies needs no secret.
func TestSimulateOnlyVerifies(t *testing.T) {
	t.Parallel()
	p := newReceiver(t)
	code, out, errs := simulateIn(t, "", "--to", p.URL, "--verify-token-file", tokenFile(t), "--count", "0")
	if code != 0 || out != "verification  ok\n" || errs != "" || len(p.received()) != 0 {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

func TestSimulateFile(t *testing.T) {
	t.Parallel()
	const body = "{\n\t\"object\": \"instagram\", \"entry\": [{\"id\": \"1\", \"changes\": [{\"field\": \"comments\", \"value\": {\"id\": \"2\"}}]}]\n}\n"
	for count, want := range map[string]int{"": 1, "3": 3} {
		p := newReceiver(t)
		args := []string{"--to", p.URL, "--app-secret-file", secretFile(t), "--file", writeFile(t, "sample.json", body)}
		if count != "" {
			args = append(args, "--count", count)
		}
		code, out, errs := simulateIn(t, "", args...)
		if code != 0 || !strings.Contains(out, "ledger        1 events\n") {
			t.Errorf("exit code %d, %s%s", code, out, errs)
		}
		if got := p.received(); !slices.Equal(got, slices.Repeat([]string{body}, want)) {
			t.Errorf("received %q", got)
		}
	}
}

func TestSimulateFromLog(t *testing.T) {
	t.Parallel()
	first := newReceiver(t)
	secret := secretFile(t)
	if code, out, errs := simulateIn(t, "", "--to", first.URL, "--app-secret-file", secret, "--count", "30"); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	for args, want := range map[string]int{"": 30, "--batch=10": 4, "--count=7": 7} {
		p := newReceiver(t)
		// The receiver adds to the file that is replayed: that must not go on
		// for ever.
		p.path = writeFile(t, "events.jsonl", first.log.String())
		flags := []string{"--to", p.URL, "--app-secret-file", secret, "--from-log", p.path}
		if args != "" {
			flags = append(flags, args)
		}
		code, out, errs := simulateIn(t, "", flags...)
		if got := p.received(); code != 0 || len(got) != want {
			t.Errorf("%q: exit code %d, %d deliveries, %s%s", args, code, len(got), out, errs)
		} else if args == "" && !slices.Equal(got, first.received()) {
			t.Errorf("replayed\n%q\nnot\n%q", got, first.received())
		}
	}
}

func TestSimulateTLS(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client.webhooks.fbclientcerts.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyPath := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyPath: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	p := &receiver{secret: receiverSecret}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequireAnyClientCert}
	p.StartTLS()
	t.Cleanup(p.Close)

	base := []string{"--to", p.URL, "--app-secret-file", secretFile(t)}
	for _, tc := range []struct {
		code int
		args []string
		want string
	}{
		{0, []string{"--ca", cert, "--cert", cert, "--key", keyPath}, "200 × 2"},
		{1, []string{"--ca", cert}, "tls × 2"},
		{1, []string{"--cert", cert, "--key", keyPath}, "tls × 2"},
	} {
		code, out, errs := simulateIn(t, "", append(slices.Clone(base), tc.args...)...)
		if code != tc.code || !strings.Contains(out, "answers       "+tc.want+"\n") {
			t.Errorf("%q: exit code %d, %s%s", tc.args, code, out, errs)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]share{"5%": 0.05, "0.05": 0.05, "0": 0, "1": 1, "100%": 1, "0.5%": 0.005} {
		var s share
		if err := s.Set(text); err != nil || s < want-1e-12 || s > want+1e-12 {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "%", "5", "-1%", "-0.1", "x%", "101%", "NaN", "Inf", "5%%"} {
		if s := new(share); s.Set(text) == nil || *s != 0 {
			t.Errorf("%q is taken as %v", text, *s)
		}
	}
}

// TestSimulatePrintsWhatItSends compares what is printed with what comes over the wire.
func TestSimulatePrintsWhatItSends(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	first := make(chan []byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var raw bytes.Buffer
		in := bufio.NewReader(io.TeeReader(conn, &raw))
		if r, err := http.ReadRequest(in); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		first <- raw.Bytes()
		_, _ = io.WriteString(conn, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
	}()
	args := []string{"--to", "http://" + listener.Addr().String() + "/hooks", "--app-secret-file", secretFile(t), "--file", writeFile(t, "body", "{\"a\": \"\\u00e4\x1b\"}\r\n")}
	code, out, errs := simulateIn(t, "", append(args, "--print")...)
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, _, errs := simulateIn(t, "", args...); code != 1 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if sent := string(<-first); sent != out {
		t.Errorf("printed %q, sent %q", out, sent)
	}
}
