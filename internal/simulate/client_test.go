package simulate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
)

func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	answers := []string{ok, answerStatus(500), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ok}
	c, rc := newClient(t, func(n int, _ request) string { return answers[n-1] })
	for i := range answers {
		// The second status may come before our side has noticed that all is
		// sent, which ends the connection; the others never do.
		if o := c.Deliver(t.Context(), []byte("{}")); o.Err != nil || o.OK() != (i != 1) {
			t.Errorf("%d: %+v", i, o)
		}
	}
	received := rc.received()
	if received[1].connection != 1 || received[3].connection != received[2].connection || received[3].connection > 2 {
		t.Errorf("connections %d, %d, %d, %d", received[0].connection, received[1].connection, received[2].connection, received[3].connection)
	}
}

// TestConnectionThatWasClosed sends on a connection that the receiver closed
// after its last answer.
func TestConnectionThatWasClosed(t *testing.T) {
	t.Parallel()
	c, rc := newClient(t, func(n int, r request) string {
		if n > 1 && r.connection == 1 {
			return ""
		}
		return ok
	})
	for i := range 2 {
		if o := c.Deliver(t.Context(), []byte("{}")); !o.OK() {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if received := rc.received(); len(received) != 3 || received[2].connection != 2 {
		t.Errorf("%d requests", len(received))
	}
}

// TestBrokenAnswerOnKeptConnection does not send again what the receiver may
// have taken.
func TestBrokenAnswerOnKeptConnection(t *testing.T) {
	t.Parallel()
	c, rc := newClient(t, func(n int, _ request) string {
		if n == 2 {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
		}
		return ok
	})
	for i, want := range []string{"200", "connection", "200"} {
		if o := c.Deliver(t.Context(), []byte("{}")); o.Label() != want {
			t.Errorf("%d: %+v", i, o)
		}
	}
	received := rc.received()
	if len(received) != 3 || received[1].connection != 1 || received[2].connection != 2 {
		t.Errorf("%d requests", len(received))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	endless := "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + strings.Repeat("x", 9_000_000)
	for name, tc := range map[string]struct {
		answer string
		status int
		label  string
		body   string
		err    string
	}{
		"hints first":        {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, 200, "200", "ok", ""},
		"redirect":           {"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", 302, "302", "", ""},
		"no length":          {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "200", "ok", ""},
		"larger than kept":   {"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("y", 70_000), 200, "200", strings.Repeat("y", maxAnswer), ""},
		"larger than read":   {endless, 200, "200", strings.Repeat("x", maxAnswer), ""},
		"head without end":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: 0123456789\r\n", 100_000), 0, "connection", "", "the head of the answer is larger than"},
		"hints without end":  {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100) + ok, 103, "103", "", ""},
		"not HTTP":           {"SSH-2.0-OpenSSH_9.9\r\n", 0, "connection", "", "malformed HTTP"},
		"nothing":            {"", 0, "connection", "", "closed without an answer"},
		"chunk that is none": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0, "connection", "", "the answer broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, rc := newClient(t, answering(tc.answer))
			o := c.Deliver(t.Context(), []byte("{}"))
			if o.Status != tc.status || o.Label() != tc.label || string(o.Answer) != tc.body || o.OK() != (tc.status == 200) {
				t.Errorf("status %d, label %s, %d bytes %.100q, error %v", o.Status, o.Label(), len(o.Answer), o.Answer, o.Err)
			}
			if (o.Err == nil) != (tc.err == "") || o.Err != nil && !strings.Contains(o.Err.Error(), tc.err) {
				t.Errorf("error %v", o.Err)
			}
			if n := len(rc.received()); n != 1 {
				t.Errorf("%d requests", n)
			}
			if o.Latency <= 0 {
				t.Errorf("latency %s", o.Latency)
			}
		})
	}
}

// TestAnswerBeforeAllIsSent refuses a body that is larger than what fits into
// any buffer, and reads none of it.
func TestAnswerBeforeAllIsSent(t *testing.T) {
	t.Parallel()
	c := &Client{URL: "http://receiver.example/", Secret: testSecret}
	c.Dial = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe() // has no buffer at all
		go func() {
			io.ReadFull(there, make([]byte, 10))
			io.WriteString(there, answerStatus(http.StatusRequestEntityTooLarge))
		}()
		return here, nil
	}
	defer c.Close()
	if o := c.Deliver(t.Context(), make([]byte, 1000)); o.Status != 413 || o.Err != nil {
		t.Errorf("%+v", o)
	}
}

// TestAcceptedBeforeItWasRead answers 200 to a body that is larger than what fits into any
// buffer. It counts once all of it was read, before the answer or after it.
func TestAcceptedBeforeItWasRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after func(io.ReadCloser)
		ok    bool
	}{
		"closed":     {func(rest io.ReadCloser) { rest.Close() }, false},
		"kept open":  {func(io.ReadCloser) {}, false},
		"half read":  {func(rest io.ReadCloser) { io.ReadFull(rest, make([]byte, 500)); rest.Close() }, false},
		"read later": {func(rest io.ReadCloser) { io.Copy(io.Discard, rest) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Client{URL: "http://receiver.example/", Secret: testSecret, Timeout: 200 * time.Millisecond}
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe() // has no buffer at all
				go func() {
					io.ReadFull(there, make([]byte, 10))
					io.WriteString(there, answerStatus(http.StatusOK))
					tc.after(there)
				}()
				return here, nil
			}
			defer c.Close()
			o := c.Deliver(t.Context(), make([]byte, 1000))
			if o.OK() != tc.ok || !tc.ok && (o.Label() != "connection" || o.Err == nil || o.Err.Error() != "the receiver answered before it had read the delivery") {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	for name, answer := range map[string]string{
		"no answer":      "",
		"half an answer": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := &receiver{}
				forever := make(chan struct{})
				rc.answer = func(n int, _ request) string {
					if n == 2 {
						return ok
					}
					if answer == "" {
						<-forever
					}
					return answer
				}
				c := &Client{URL: "http://receiver.example/", Secret: testSecret, Dial: rc.dial}
				start := time.Now()
				o := c.Deliver(t.Context(), []byte("{}"))
				if !errors.Is(o.Err, context.DeadlineExceeded) || o.Label() != "timeout" || o.Latency != meta.AnswerWithin || time.Since(start) != meta.AnswerWithin {
					t.Errorf("%+v after %s", o, time.Since(start))
				}
				// The connection of it is not used again.
				if o := c.Deliver(t.Context(), []byte("{}")); !o.OK() || rc.received()[1].connection != 2 {
					t.Errorf("%+v", o)
				}
				close(forever)
				c.Close()
			})
		})
	}
}

func TestTimeoutOfConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{URL: "http://receiver.example/", Secret: testSecret, Timeout: time.Second}
		c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if o := c.Deliver(t.Context(), nil); o.Label() != "timeout" || o.Latency != time.Second {
			t.Errorf("%+v", o)
		}
	})
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := newClient(t, func(int, request) string {
		cancel()
		<-t.Context().Done() // no answer while the test runs
		return ""
	})
	if o := c.Deliver(ctx, []byte("{}")); !errors.Is(o.Err, context.Canceled) || o.Label() != "canceled" {
		t.Errorf("%+v", o)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c := &Client{URL: "http://127.0.0.1:1", Secret: testSecret} // of a service that is extinct
	if o := c.Deliver(t.Context(), nil); o.Err == nil || o.Label() != "connect" {
		t.Errorf("%+v", o)
	}
}

func TestWrongChallenges(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		form   string
		want   string
	}{
		"right":        {200, "%s", ""},
		"other status": {201, "%s", "the status is 201, not 200"},
		"line feed":    {200, "%s\n", "white space around"},
		"quoted":       {200, "\"%s\"\n", "quotation marks around"},
		"another":      {200, "challenge %s", "the answer of 20 bytes is not the challenge"},
		"empty":        {200, "", "an empty 200, not the challenge; Caddy answers so where no handler takes the path or the host"},
		"page":         {200, "<html>", "the answer of 6 bytes is not the challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := newClient(t, func(_ int, r request) string {
				_, rest, _ := strings.Cut(r.head, "hub.challenge=")
				body := tc.form
				if strings.Contains(body, "%s") {
					body = fmt.Sprintf(body, rest[:10])
				}
				return fmt.Sprintf("HTTP/1.1 %d Status\r\nContent-Length: %d\r\n\r\n%s", tc.status, len(body), body)
			})
			o := c.Verify(t.Context(), "token-of-the-test")
			if o.OK() != (tc.want == "") {
				t.Errorf("%+v", o)
			}
			if tc.want != "" && (!errors.Is(o.Err, ErrChallenge) || !strings.Contains(o.Err.Error(), tc.want)) {
				t.Errorf("error %v", o.Err)
			}
		})
	}
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "must begin with http:// or https://",
		"ftp://host/":                 "must begin with http:// or https://",
		"https:///path":               "names no host",
		"https://me:s3cret@host/":     "holds a user name",
		"https://me:s3cret@host:x/":   "not well-formed",
		"http://host/\r\nX-Forged: 1": "not well-formed",
	} {
		c := &Client{URL: text, Secret: testSecret}
		for _, err := range []error{c.Validate(), c.Verify(t.Context(), "t").Err, c.Deliver(t.Context(), nil).Err} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// TestErrorsAreSanitized: what comes in place of an answer is repeated neither whole
// nor with a secret, and no terminal obeys it.
func TestErrorsAreSanitized(t *testing.T) {
	t.Parallel()
	const token = "token of the test"
	c, _ := newClient(t, func(_ int, r request) string {
		_, rest, _ := strings.Cut(r.head, "hub.verify_token=")
		sent, _, _ := strings.Cut(rest, " ")
		return "HTTP/1.1 200 OK\r\n" + token + " " + sent + strings.Repeat("x", 100_000) + "\r\n\r\n"
	})
	o := c.Verify(t.Context(), token)
	if text := fmt.Sprint(o.Err); !strings.Contains(text, "[secret] [secret]xxx") || len(text) > 600 || o.Label() != "connection" {
		t.Errorf("%s, error %s", o.Label(), text)
	}

	wild := httptest.NewUnstartedServer(http.NotFoundHandler())
	wild.Config.ErrorLog = log.New(io.Discard, "", 0)
	wild.TLS = &tls.Config{Certificates: []tls.Certificate{*issue(t, nil, &x509.Certificate{DNSNames: []string{"\x1b[31mred"}})}}
	wild.StartTLS()
	t.Cleanup(wild.Close)
	c = &Client{URL: strings.Replace(wild.URL, "127.0.0.1", "localhost", 1)}
	o = c.Deliver(t.Context(), nil)
	if text := fmt.Sprint(o.Err); !strings.Contains(text, "valid for  [31mred") || o.Label() != "tls" {
		t.Errorf("%s, error %q", o.Label(), text)
	}
}
