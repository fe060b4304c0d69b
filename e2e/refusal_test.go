package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// TestVerificationRequest is the handshake by which Meta accepts the URL.
func TestVerificationRequest(t *testing.T) {
	t.Parallel()
	caddy := harness.NewSecured(t)
	caddy.Serve(t, "handle /webhooks {\n%s\nrespond never\n}", harness.Webhook)
	client := caddy.Client(t, harness.HTTP1)

	answer := client.Do(t, harness.NewVerification(t, caddy.URL, "subscribe", harness.Token, "1158201444"))
	if answer.Status != http.StatusOK || answer.Body != "1158201444" {
		t.Errorf("answered %d %q, want 200 and the challenge alone", answer.Status, answer.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	const challenge, mode, rightToken = "&hub.challenge=1", "hub.mode=subscribe", "&hub.verify_token=a+token+of+the+tests"
	for query, want := range map[string]int{
		"":               400,
		mode + challenge: 400,
		mode + challenge + "&hub.verify_token=wrong":       403,
		mode + challenge + "&hub.verify_token=a+token":     403,
		"hub.mode=unsubscribe" + challenge + rightToken:    403,
		mode + "&hub.challenge=%3Cb%3E" + rightToken:       400,
		mode + challenge + "&hub.challenge=2" + rightToken: 400,
		mode + challenge + rightToken + rightToken:         400,
		mode + challenge + "&hub.verify_token=%zz":         400,
	} {
		answer := client.Do(t, harness.NewRequest(t, http.MethodGet, caddy.URL+"?"+query, nil))
		if answer.Status != want {
			t.Errorf("?%s: status %d %q, want %d", query, answer.Status, answer.Body, want)
		}
	}
}

// TestRefusalsReachNobody sends what is not authentic. The backend must not
// hear of it, and the file must not be made.
func TestRefusalsReachNobody(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `instagram_webhook {
		verify_token x
		app_secret %s
		max_size 64KiB
	}
	instagram_file %q {
		format raw
	}
	reverse_proxy %s`, harness.Secret, caddy.Out("events.jsonl"), app.Addr)
	client := caddy.Client(t, harness.HTTP1)
	body := []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000}]}`)
	right := "sha256=" + harness.HMAC(harness.Secret, body)
	large := bytes.Repeat([]byte(" "), 64<<10+1)

	signed := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["X-Hub-Signature-256"] = values }
	}
	for name, test := range map[string]struct {
		protocol harness.Protocol
		body     []byte
		change   func(*http.Request)
		want     int
	}{
		"no signature": {harness.HTTP1, body, func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, 401},
		"only SHA-1": {harness.HTTP1, body, func(r *http.Request) {
			r.Header["X-Hub-Signature-256"] = r.Header["X-Hub-Signature"]
		}, 401},
		"twice":           {harness.HTTP1, body, signed(right, right), 401},
		"no prefix":       {harness.HTTP1, body, signed(right[7:]), 401},
		"cut":             {harness.HTTP1, body, signed(right[:len(right)-2]), 401},
		"with a comma":    {harness.HTTP1, body, signed(right + "," + right), 401},
		"empty key":       {harness.HTTP1, body, signed("sha256=" + harness.HMAC("", body)), 401},
		"other key":       {harness.HTTP1, body, signed("sha256=" + harness.HMAC(harness.Secret+"0", body)), 401},
		"other body":      {harness.HTTP1, body[1:], signed(right), 401},
		"too large":       {harness.HTTP1, large, nil, 413},
		"too large, lies": {harness.HTTP1Chunked, large, nil, 413},
		"PUT":             {harness.HTTP1, body, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"overridden method": {harness.HTTP1, body, func(r *http.Request) {
			r.Method = http.MethodPatch
			r.Header.Set("X-HTTP-Method-Override", "POST")
		}, 405},
	} {
		req := harness.NewDelivery(t, test.protocol, caddy.URL, harness.Secret, test.body)
		if test.change != nil {
			test.change(req)
		}
		answer := client.Do(t, req)
		if answer.Status != test.want {
			t.Errorf("%s: status %d, want %d", name, answer.Status, test.want)
		}
		if allow := answer.Header.Get("Allow"); test.want == 405 && allow != "GET, POST" {
			t.Errorf("%s: Allow: %q", name, allow)
		}
	}

	// A body that ends before its length: signed, but not whole.
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: %d\r\nX-Hub-Signature-256: %s\r\n\r\n",
		len(body)+10, right)
	if status := rawStatus(t, caddy.Addr, head+string(body)); status != "" && !strings.HasPrefix(status, "400") {
		t.Errorf("a body cut short was answered with %q", status)
	}

	// Proof that the way to the backend is open, and marks the end of the rest.
	client.Deliver(t, body).Echo(t)
	if received := app.Received(t); len(received) != 1 || received[harness.SHA256(body)] != 1 {
		t.Errorf("more than the one authentic delivery reached the backend: %v", received)
	}
	if lines := caddy.Lines(t, "events.jsonl"); len(lines) != 1 {
		t.Errorf("more than the one authentic delivery was written: %q", lines)
	}
}

// rawStatus sends bytes, closes its side, and returns the status line's end.
func rawStatus(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Timeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(conn).ReadString('\n')
	_, status, _ := strings.Cut(strings.TrimSpace(line), " ")
	return status
}

// TestNothingTakenIsNot200 checks that a delivery which no handler takes is
// refused: an empty 200 would make Meta forget it.
func TestNothingTakenIsNot200(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, `handle /nobody {
		%[1]s
	}
	handle /file {
		%[1]s
		instagram_file %[2]q {
			format raw
		}
	}
	handle /respond {
		%[1]s
		respond 200
	}`, harness.Webhook, caddy.Out("sub/dir/events.jsonl"))
	for path, want := range map[string]int{"/nobody": 503, "/file": 200, "/respond": 200} {
		caddy.URL = "http://" + caddy.Addr + path
		caddy.Deliver(t, []byte("{}"), want)
	}
	checkLines(t, caddy.Lines(t, "sub/dir/events.jsonl"), []string{"{}"})
}
