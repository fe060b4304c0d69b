package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
)

const (
	// secret and token are those of all tests that do not need more than one.
	secret = "b7e0c1a94d5f4f0e8a6c2d3b1f9e7a55"
	token  = "a token of the tests"

	// webhook is a handler with both.
	webhook = `instagram_webhook {
		verify_token "` + token + `"
		app_secret instagram ` + secret + `
	}`
)

// TestDeliveriesReachReverseProxy sends every sample in every way to an HTTP
// application in another process, through a gateway with a certificate got by
// ACME.
func TestDeliveriesReachReverseProxy(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	s := newSecured(t)
	s.serve(t, fmt.Sprintf(`handle /webhooks {
		%s
		instagram_file %s {
			format raw
		}
		reverse_proxy %s
	}`, webhook, strconv.Quote(s.out("events.jsonl")), u.addr))
	deliverSamples(t, s)
	if received, sent := len(u.ledger(t)), len(samples(t)); received != sent {
		t.Errorf("%d distinct bodies reached the application, want %d", received, sent)
	}
}

// TestDeliveriesReachPHP does the same with a real PHP, which cannot take a
// body of unknown length.
func TestDeliveriesReachPHP(t *testing.T) {
	t.Parallel()
	p := startPHP(t)
	s := newSecured(t)
	s.serve(t, fmt.Sprintf(`handle /webhooks {
		root %s
		%s
		instagram_file %s {
			format raw
		}
		php_fastcgi unix/%s
	}`, p.root, webhook, strconv.Quote(s.out("events.jsonl")), p.socket))
	deliverSamples(t, s)
}

// deliverSamples checks what the backend of s gets of each sample, and the
// lines that instagram_file writes before it.
func deliverSamples(t *testing.T, s *secured) {
	var lines []string
	for _, p := range protocols {
		t.Run(string(p), func(t *testing.T) {
			c := newCallerFor(p, s.roots, s.addr, nil)
			defer c.close()
			for _, sample := range samples(t) {
				req := delivery(t, p, "https://"+s.name+"/webhooks", secret, sample.body)
				a := c.mustDo(t, req)
				lines = append(lines, asLine(t, sample.body))
				if want := map[protocol]string{http2: "HTTP/2.0", http2Unknown: "HTTP/2.0"}[p]; want != "" && a.proto != want {
					t.Fatalf("spoke %s, want %s", a.proto, want)
				}
				checkEcho(t, sample, req, echoOf(t, a))
			}
		})
	}
	if written := s.lines(t, "events.jsonl"); !slices.Equal(written, lines) {
		t.Errorf("instagram_file wrote %d lines, want %d as they were sent", len(written), len(lines))
		for i := range min(len(written), len(lines)) {
			if written[i] != lines[i] {
				t.Fatalf("the first that differs is line %d:\n%.300s\nwant:\n%.300s", i+1, written[i], lines[i])
			}
		}
	}
}

// checkEcho compares what reached the backend with what was sent.
func checkEcho(t *testing.T, sent sample, req *http.Request, got echo) {
	t.Helper()
	if got.SHA256 != hexSHA256(sent.body) || got.Length != len(sent.body) {
		t.Errorf("%s: %d bytes with SHA-256 %s arrived, want %d with %s",
			sent.name, got.Length, got.SHA256, len(sent.body), hexSHA256(sent.body))
	}
	if got.ContentLength != int64(len(sent.body)) || len(got.TransferEncoding) != 0 {
		t.Errorf("%s: arrived with Content-Length %d and Transfer-Encoding %q, want %d and none",
			sent.name, got.ContentLength, got.TransferEncoding, len(sent.body))
	}
	if got.Method != http.MethodPost || got.URI != "/webhooks" {
		t.Errorf("%s: arrived as %s %s", sent.name, got.Method, got.URI)
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if !slices.Equal(got.Header[name], req.Header[name]) {
			t.Errorf("%s: header %s arrived as %q, want %q", sent.name, name, got.Header[name], req.Header[name])
		}
	}
}

// TestPlaceholdersNameTheSecret checks the placeholders by which a backend gets
// to know the app, that a client cannot set their headers itself, and that a
// chunked body has its length before the proxy sees it.
func TestPlaceholdersNameTheSecret(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	startGateway(t, "auto_https off", fmt.Sprintf(`http://:%d {
	instagram_webhook {
		verify_token x
		app_secret instagram 11111111111111111111111111111111
		app_secret meta      22222222222222222222222222222222
		app_secret           33333333333333333333333333333333
	}
	reverse_proxy %s {
		header_up X-Instagram-Secret {instagram.secret}
		header_up X-Size {instagram.size}
		header_up X-Length {http.request.header.Content-Length}
	}
}`, port, u.addr))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	body := []byte(`{"object":"instagram","entry":[]}`)
	for key, name := range map[string]string{
		"11111111111111111111111111111111": "instagram",
		"22222222222222222222222222222222": "meta",
		"33333333333333333333333333333333": "secret3",
	} {
		req := delivery(t, http1Chunked, "http://hooks.example.com/", key, body)
		req.Header.Set("X-Instagram-Secret", "forged")
		req.Header.Set("X-Instagram-Admin", "forged")
		got := echoOf(t, c.mustDo(t, req))
		if want := []string{name}; !slices.Equal(got.Header["X-Instagram-Secret"], want) {
			t.Errorf("secret %q, want %q", got.Header["X-Instagram-Secret"], want)
		}
		if want := []string{strconv.Itoa(len(body))}; !slices.Equal(got.Header["X-Size"], want) {
			t.Errorf("size %q, want %q", got.Header["X-Size"], want)
		} else if !slices.Equal(got.Header["X-Length"], want) {
			t.Errorf("header Content-Length %q, want %q", got.Header["X-Length"], want)
		}
		if forged, ok := got.Header["X-Instagram-Admin"]; ok {
			t.Errorf("a header that imitates ours arrived: %q", forged)
		}
	}
}
