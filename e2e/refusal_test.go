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
)

// TestVerificationRequest is the handshake by which Meta accepts the URL.
func TestVerificationRequest(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	s.serve(t, "handle /webhooks {\n"+webhook+"\nrespond never\n}")
	c := newCaller(s.roots, s.addr, nil)
	base := "https://" + s.name + "/webhooks"

	a := c.mustDo(t, verification(t, base, "subscribe", token, "1158201444"))
	if a.status != http.StatusOK || string(a.body) != "1158201444" {
		t.Errorf("answered %d %q, want 200 and the challenge alone", a.status, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	for query, want := range map[string]int{
		"":                                   400,
		"hub.mode=subscribe&hub.challenge=1": 400,
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + "wrong":                                                 403,
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token":                                                    403,
		"hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=a+token+of+the+tests":                                     403,
		"hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=a+token+of+the+tests":                                 400,
		"hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=a+token+of+the+tests":                       400,
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token+of+the+tests&hub.verify_token=a+token+of+the+tests": 400,
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=%zz":                                                        400,
	} {
		req, err := http.NewRequest(http.MethodGet, base+"?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := c.mustDo(t, req); a.status != want {
			t.Errorf("?%s: status %d %q, want %d", query, a.status, a.body, want)
		}
	}
}

// TestRefusalsReachNobody sends what is not authentic. The backend must not
// hear of it, and the file must not be made.
func TestRefusalsReachNobody(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	port := freePort(t)
	g := newGateway(t)
	g.start(t, "auto_https off", fmt.Sprintf(`http://:%d {
	instagram_webhook {
		verify_token x
		app_secret %s
		max_size 64KiB
	}
	instagram_file %q {
		format raw
	}
	reverse_proxy %s
}`, port, secret, g.out("events.jsonl"), u.addr))
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c := newCaller(nil, addr, nil)
	body := []byte(`{"object":"instagram","entry":[{"id":"17841400000000001","time":1790000000}]}`)
	right := "sha256=" + hexHMAC256(secret, body)
	large := bytes.Repeat([]byte(" "), 64<<10+1)

	for name, test := range map[string]struct {
		p      protocol
		body   []byte
		change func(*http.Request)
		want   int
	}{
		"no signature": {http1, body, func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, 401},
		"only SHA-1": {http1, body, func(r *http.Request) {
			r.Header["X-Hub-Signature-256"] = r.Header["X-Hub-Signature"]
		}, 401},
		"twice":             {http1, body, func(r *http.Request) { r.Header["X-Hub-Signature-256"] = []string{right, right} }, 401},
		"no prefix":         {http1, body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", right[7:]) }, 401},
		"cut":               {http1, body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", right[:len(right)-2]) }, 401},
		"with a comma":      {http1, body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", right+","+right) }, 401},
		"empty key":         {http1, body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC256("", body)) }, 401},
		"other key":         {http1, body, func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC256(secret+"0", body)) }, 401},
		"other body":        {http1, body[1:], func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", right) }, 401},
		"too large":         {http1, large, nil, 413},
		"too large, lies":   {http1Chunked, large, nil, 413},
		"PUT":               {http1, body, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"overridden method": {http1, body, func(r *http.Request) { r.Method = http.MethodPatch; r.Header.Set("X-HTTP-Method-Override", "POST") }, 405},
	} {
		req := delivery(t, test.p, "http://hooks.example.com/", secret, test.body)
		if test.change != nil {
			test.change(req)
		}
		a := c.mustDo(t, req)
		if a.status != test.want {
			t.Errorf("%s: status %d, want %d", name, a.status, test.want)
		}
		if allow := a.header.Get("Allow"); test.want == 405 && allow != "GET, POST" {
			t.Errorf("%s: Allow: %q", name, allow)
		}
	}

	// A body that ends before its length: signed, but not whole.
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: %d\r\nX-Hub-Signature-256: %s\r\n\r\n", len(body)+10, right)
	if status := rawStatus(t, addr, head+string(body)); status != "" && !strings.HasPrefix(status, "400") {
		t.Errorf("a body cut short was answered with %q", status)
	}

	// Proof that the way to the backend is open, and marks the end of the rest.
	echoOf(t, c.mustDo(t, delivery(t, http1, "http://hooks.example.com/", secret, body)))
	if ledger := u.ledger(t); len(ledger) != 1 || ledger[hexSHA256(body)] != 1 {
		t.Errorf("more than the one authentic delivery reached the backend: %v", ledger)
	}
	if lines := g.lines(t, "events.jsonl"); len(lines) != 1 {
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
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
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
	port := freePort(t)
	g := newGateway(t)
	g.start(t, "auto_https off", fmt.Sprintf(`http://:%d {
	handle /nobody {
		%[2]s
	}
	handle /file {
		%[2]s
		instagram_file %[3]q {
			format raw
		}
	}
	handle /respond {
		%[2]s
		respond 200
	}
}`, port, webhook, g.out("sub/dir/events.jsonl")))
	c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
	for path, want := range map[string]int{"/nobody": 503, "/file": 200, "/respond": 200} {
		if a := c.mustDo(t, delivery(t, http1, "http://hooks.example.com"+path, secret, []byte("{}"))); a.status != want {
			t.Errorf("%s: status %d, want %d", path, a.status, want)
		}
	}
	if lines := g.lines(t, "sub/dir/events.jsonl"); len(lines) != 1 || lines[0] != "{}" {
		t.Errorf("written: %q", lines)
	}
}
