package simulate

import (
	"context"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// golden reads a request of testdata, which has bare line feeds in its head.
func golden(t *testing.T, name string) string {
	t.Helper()
	head, body, found := strings.Cut(readFile(t, "requests", name), "\n\n")
	if !found {
		t.Fatalf("%s has no empty line", name)
	}
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

// clientOf returns a client for a receiver that has a name in the golden
// requests.
func clientOf(t *testing.T, answer func(int, request) string) (*Client, *receiver) {
	t.Helper()
	rc := &receiver{answer: answer}
	address := rc.listen(t)
	c := &Client{URL: "http://hooks.example.com:8080/webhooks?from=meta", Secret: testSecret}
	c.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
		if to != "hooks.example.com:8080" {
			t.Errorf("connects to %s", to)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	t.Cleanup(c.Close)
	return c, rc
}

// TestDeliveriesOnTheWire holds deliveries against requests whose signatures
// were made with openssl.
func TestDeliveriesOnTheWire(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"changes.http":     "comment.json",
		"messaging.http":   "message.json",
		"test-button.http": "test-button-messages.json",
	} {
		c, rc := clientOf(t, answering(ok))
		if o := c.Deliver(t.Context(), []byte(readFile(t, "bodies", body))); !o.OK() {
			t.Errorf("%s: %+v", name, o)
		}
		r := rc.received()[0]
		if got, want := r.head+r.body, golden(t, name); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

func TestVerificationOnTheWire(t *testing.T) {
	t.Parallel()
	challenge := regexp.MustCompile(`hub\.challenge=(\d{10})&`)
	c, rc := clientOf(t, func(_ int, r request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + challenge.FindStringSubmatch(r.head)[1]
	})
	if o := c.Verify(t.Context(), "a b&c"); !o.OK() {
		t.Errorf("%+v", o)
	}
	got := challenge.ReplaceAllString(rc.received()[0].head, "hub.challenge=1158201444&")
	if want := golden(t, "verification.http"); got != want {
		t.Errorf("\n%s\nwant:\n%s", got, want)
	}
}

func TestForgedDiffersInSignaturesAlone(t *testing.T) {
	t.Parallel()
	c, rc := clientOf(t, answering(ok))
	c.Forge(t.Context(), []byte(readFile(t, "bodies", "comment.json")))
	signatures := regexp.MustCompile(`(sha1|sha256)=[0-9a-f]+`)
	r := rc.received()[0]
	got, want := r.head+r.body, golden(t, "changes.http")
	if got == want {
		t.Error("it has the right signatures")
	}
	if got, want := signatures.ReplaceAllString(got, "$1"), signatures.ReplaceAllString(want, "$1"); got != want {
		t.Errorf("\n%s\nwant:\n%s", got, want)
	}
	if found := signatures.FindAllString(got, -1); len(found) != 2 || len(found[0]) != 45 || len(found[1]) != 71 {
		t.Errorf("signatures %q", found)
	}
}

func TestFamilyOf(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Family{
		readFile(t, "bodies", "comment.json"):                                             Changes,
		readFile(t, "bodies", "message-echo.json"):                                        Messaging,
		readFile(t, "bodies", "test-button-messages.json"):                                Changes,
		`{"object":"instagram","entry":[{"id":"1","standby":[{"message":{"mid":"m"}}]}]}`: Messaging,
		`not JSON`: Changes,
	} {
		if got := FamilyOf(event.Split([]byte(body))); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
	if FamilyOf(nil) != Changes {
		t.Error("no events are not changes")
	}
}

func TestRequestTargets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://h":          "POST / HTTP/1.1\r\nHost: h\r\n",
		"https://h:1/a%20b": "POST /a%20b HTTP/1.1\r\nHost: h:1\r\n",
		"http://[::1]:2/?x": "POST /?x HTTP/1.1\r\nHost: [::1]:2\r\n",
		"http://h/é#below":  "POST /%C3%A9 HTTP/1.1\r\nHost: h\r\n",
	} {
		to, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(NewDelivery("s", nil).Append(nil, to)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
