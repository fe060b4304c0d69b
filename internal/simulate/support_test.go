package simulate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const testSecret = "the-app-secret"

// gatewaySecret is one that a gateway takes.
const gatewaySecret = "5ec4e70123456789abcdef0123456789"

// request is a request as it came over the wire.
type request struct {
	connection int    // counted from 1
	head       string // up to the empty line, included
	body       string
}

// receiver answers requests with raw bytes. An answer of "" closes the
// connection.
type receiver struct {
	answer func(n int, r request) string

	mu       sync.Mutex
	requests []request
	dialled  int
}

// ok is an answer of 200.
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func answering(answer string) func(int, request) string {
	return func(int, request) string { return answer }
}

// listen serves on a TCP port of 127.0.0.1 and returns its address.
func (rc *receiver) listen(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { rc.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// dial is a Client's Dial to the receiver without a network.
func (rc *receiver) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go rc.serve(there)
	return here, nil
}

func (rc *receiver) serve(conn net.Conn) {
	defer conn.Close()
	rc.mu.Lock()
	rc.dialled++
	number := rc.dialled
	rc.mu.Unlock()
	in := bufio.NewReader(conn)
	for {
		r, err := readRequest(in)
		if err != nil {
			return
		}
		r.connection = number
		rc.mu.Lock()
		rc.requests = append(rc.requests, r)
		n := len(rc.requests)
		rc.mu.Unlock()
		answer := rc.answer(n, r)
		if _, err := io.WriteString(conn, answer); err != nil || answer == "" {
			return
		}
	}
}

func readRequest(in *bufio.Reader) (r request, err error) {
	size := 0
	for !strings.HasSuffix(r.head, "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			return r, err
		}
		r.head += line
		fmt.Sscanf(line, "Content-Length: %d", &size)
	}
	body := make([]byte, size)
	_, err = io.ReadFull(in, body)
	r.body = string(body)
	return r, err
}

// received returns the requests so far.
func (rc *receiver) received() []request {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.requests)
}

// newClient returns a client of a receiver that answers as told.
func newClient(t *testing.T, answer func(n int, r request) string) (*Client, *receiver) {
	t.Helper()
	rc := &receiver{answer: answer}
	c := &Client{URL: "http://" + rc.listen(t) + "/webhooks", Secret: testSecret}
	t.Cleanup(c.Close)
	return c, rc
}

// newPipedClient is newClient without a network, for use in a bubble.
func newPipedClient(t *testing.T, answer func(n int, r request) string) (*Client, *receiver) {
	t.Helper()
	rc := &receiver{answer: answer}
	c := &Client{URL: "http://receiver.example/webhooks", Secret: testSecret, Dial: rc.dial}
	t.Cleanup(c.Close)
	return c, rc
}

func readFile(t *testing.T, parts ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// answerStatus is an answer with a status and no body.
func answerStatus(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
}

// comments returns a run's deliveries of n comments.
func comments(n int) Deliveries {
	return Take(Sample{Seed: 1, Fields: []string{"comments"}}.Deliveries(), n)
}

// messages returns a run's deliveries of n messages.
func messages(n int) Deliveries {
	return Take(Sample{Seed: 1, Fields: []string{"messages"}}.Deliveries(), n)
}

// AsExpected reports whether every authentic delivery was answered with 200 and
// no forged one was.
func (s *Summary) AsExpected() bool {
	return s.Failed == 0 && s.Unfinished == 0 && s.ForgedAccepted == 0
}

// Status returns the number of requests that were answered with a status.
func (s *Summary) Status(status int) int { return s.Answers[strconv.Itoa(status)] }
