package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestDeliveriesReachReverseProxy sends every sample over every protocol to an
// HTTP application, through a Caddy with a certificate got by ACME.
func TestDeliveriesReachReverseProxy(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewSecured(t)
	caddy.Serve(t, `handle /webhooks {
		%s
		instagram_file %q {
			format raw
		}
		reverse_proxy %s
	}`, harness.Webhook, caddy.Out("events.jsonl"), app.Addr)
	deliverSamples(t, caddy)
	if received, sent := len(app.Received(t)), len(harness.Samples(t)); received != sent {
		t.Errorf("%d distinct bodies reached the application, want %d", received, sent)
	}
}

// TestDeliveriesReachPHP does the same with a real PHP, which cannot take a
// body of unknown length.
func TestDeliveriesReachPHP(t *testing.T) {
	t.Parallel()
	php := harness.StartPHP(t)
	caddy := harness.NewSecured(t)
	caddy.Serve(t, `handle /webhooks {
		root %s
		%s
		instagram_file %q {
			format raw
		}
		php_fastcgi unix/%s
	}`, php.Root, harness.Webhook, caddy.Out("events.jsonl"), php.Socket)
	deliverSamples(t, caddy)
}

// deliverSamples checks what the backend gets of each sample, and the lines that
// instagram_file writes before it.
func deliverSamples(t *testing.T, caddy *harness.Secured) {
	var lines []string
	for _, p := range harness.Protocols {
		t.Run(string(p), func(t *testing.T) {
			client := caddy.Client(t, p)
			for _, sample := range harness.Samples(t) {
				req := harness.NewDelivery(t, p, caddy.URL, harness.Secret, sample.Body)
				answer := client.Do(t, req)
				lines = append(lines, rawLine(t, sample.Body))
				if http2 := p == harness.HTTP2 || p == harness.HTTP2NoLength; http2 != (answer.Proto == "HTTP/2.0") {
					t.Fatalf("spoke %s", answer.Proto)
				}
				checkEcho(t, sample, req, answer.Echo(t))
			}
		})
	}
	checkLines(t, caddy.Lines(t, "events.jsonl"), lines)
}

// rawLine is a body as instagram_file promises to write it: byte for byte, and
// compacted only where it contains line breaks.
func rawLine(t *testing.T, body []byte) string {
	t.Helper()
	if !bytes.ContainsAny(body, "\r\n") {
		return string(body)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		t.Fatal(err)
	}
	return line.String()
}

// checkLines compares the lines of a file with what they should be.
func checkLines(t *testing.T, lines, want []string) {
	t.Helper()
	if len(lines) != len(want) {
		t.Errorf("the file has %d lines, want %d", len(lines), len(want))
	}
	for i := range min(len(lines), len(want)) {
		if lines[i] != want[i] {
			t.Fatalf("line %d is\n%.300s\nwant\n%.300s", i+1, lines[i], want[i])
		}
	}
}

// checkEcho compares what reached the backend with what was sent.
func checkEcho(t *testing.T, sent harness.Sample, req *http.Request, got harness.Echo) {
	t.Helper()
	checkWhole(t, sent.Name, got, sent.Body)
	if got.ContentLength != int64(len(sent.Body)) || len(got.TransferEncoding) != 0 {
		t.Errorf("%s: arrived with Content-Length %d and Transfer-Encoding %q, want %d and none",
			sent.Name, got.ContentLength, got.TransferEncoding, len(sent.Body))
	}
	if got.Method != http.MethodPost || got.URI != "/webhooks" {
		t.Errorf("%s: arrived as %s %s", sent.Name, got.Method, got.URI)
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if !slices.Equal(got.Header[name], req.Header[name]) {
			t.Errorf("%s: header %s arrived as %q, want %q", sent.Name, name, got.Header[name], req.Header[name])
		}
	}
}

// checkWhole fails the test unless a body has reached the backend whole.
func checkWhole(t *testing.T, name string, got harness.Echo, body []byte) {
	t.Helper()
	if want := harness.SHA256(body); got.SHA256 != want || got.Length != len(body) {
		t.Errorf("%s: %d bytes with SHA-256 %s arrived, want %d with %s", name, got.Length, got.SHA256, len(body), want)
	}
}

// TestPlaceholdersNameTheSecret checks the placeholders by which a backend gets
// to know the app, that a client cannot set their headers itself, and that a
// chunked body has its length before the proxy sees it.
func TestPlaceholdersNameTheSecret(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `instagram_webhook {
		verify_token x
		app_secret instagram 11111111111111111111111111111111
		app_secret meta      22222222222222222222222222222222
		app_secret           33333333333333333333333333333333
	}
	reverse_proxy %s {
		header_up X-Instagram-Secret {instagram.secret}
		header_up X-Size {instagram.size}
		header_up X-Length {http.request.header.Content-Length}
	}`, app.Addr)
	client := caddy.Client(t, harness.HTTP1Chunked)
	body := []byte(`{"object":"instagram","entry":[]}`)
	for key, name := range map[string]string{
		"11111111111111111111111111111111": "instagram",
		"22222222222222222222222222222222": "meta",
		"33333333333333333333333333333333": "secret3",
	} {
		req := harness.NewDelivery(t, harness.HTTP1Chunked, caddy.URL, key, body)
		req.Header.Set("X-Instagram-Secret", "forged")
		req.Header.Set("X-Instagram-Admin", "forged")
		got := client.Do(t, req).Echo(t)
		length := strconv.Itoa(len(body))
		for header, want := range map[string]string{"X-Instagram-Secret": name, "X-Size": length, "X-Length": length} {
			if !slices.Equal(got.Header[header], []string{want}) {
				t.Errorf("%s: %q, want %q", header, got.Header[header], want)
			}
		}
		if forged, ok := got.Header["X-Instagram-Admin"]; ok {
			t.Errorf("a header that imitates ours arrived: %q", forged)
		}
	}
}

// TestRetryAtAnotherBackend has reverse_proxy try a backend that is down first:
// the delivery must reach the next one whole.
func TestRetryAtAnotherBackend(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `%s
	reverse_proxy %s %s {
		lb_policy first
		lb_try_duration 30s
		fail_duration 30s
	}`, harness.Webhook, harness.FreeAddr(t), app.Addr)
	for _, p := range harness.Protocols[:2] {
		body := harness.Batch(100)
		checkWhole(t, string(p), caddy.Client(t, p).Deliver(t, body).Echo(t), body)
	}
}

// TestErrorRoutesGetTheDelivery has an application that hangs up when it has
// read the delivery: the error routes must get it from its beginning.
func TestErrorRoutesGetTheDelivery(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Path: "/hangup", Cut: harness.CutAtOnce})
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `%s
	reverse_proxy %s {
		rewrite /hangup
	}
	handle_errors {
		reverse_proxy %[2]s {
			rewrite /fallback
			header_up X-Error {err.status_code}
			header_up X-Instagram-Secret {instagram.secret}
		}
	}`, harness.Webhook, app.Addr)
	for _, p := range harness.Protocols[:2] {
		body := harness.Batch(100)
		answer := caddy.Client(t, p).Deliver(t, body)
		if answer.Status != http.StatusBadGateway {
			t.Errorf("%s: status %d: Meta would not send again what failed", p, answer.Status)
		}
		answer.Status = http.StatusOK // of the application that the error routes asked
		got := answer.Echo(t)
		checkWhole(t, string(p), got, body)
		for name, want := range map[string]string{"X-Error": "502", "X-Instagram-Secret": "instagram"} {
			if values := got.Header[name]; !slices.Equal(values, []string{want}) {
				t.Errorf("%s: %s %q, want %q", p, name, values, want)
			}
		}
	}
}
