package simulate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

const (
	maxAnswer = 64 << 10 // bytes of an answer's body that are kept
	maxRead   = 1 << 20  // bytes of an answer that are read, headers included
	maxHints  = 8        // informational answers before the answer
	maxError  = 500      // bytes of an error, which may repeat what came in place of an answer
)

// errEarly is the error of an answer of 200 to a request that could not be sent to its end:
// the receiver cannot have what it says it has.
var errEarly = errors.New("the receiver answered before it had read the delivery")

// conn is one connection to the receiver.
type conn struct {
	net.Conn
	limit  io.LimitedReader // bounds what one answer can make us read
	reader *bufio.Reader
	reused bool
}

// Close closes the connection without TLS's goodbye, which can take seconds if
// the receiver reads nothing any more.
func (c *conn) Close() error {
	if secured, ok := c.Conn.(*tls.Conn); ok {
		return secured.NetConn().Close()
	}
	return c.Conn.Close()
}

// Send sends a request as it stands on the wire, and reads its answer.
func (c *Client) Send(ctx context.Context, request []byte) Outcome {
	if err := c.Validate(); err != nil {
		return Outcome{Err: err}
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = meta.AnswerWithin
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o, err := c.try(limited, request)
	o.Latency = time.Since(start)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		o.Err = ctx.Err()
	case errors.Is(err, errEarly):
		o.Err = err
	case limited.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		o.Err = fmt.Errorf("no answer within %s: %w", timeout, context.DeadlineExceeded)
	default:
		o.Err = sanitize.Error(err, maxError)
	}
	return o
}

// try sends a request on a connection that was kept, or else on a new one. A
// connection that was kept may have been closed meanwhile by a receiver that
// never saw the request: then it is sent again.
func (c *Client) try(ctx context.Context, request []byte) (Outcome, error) {
	for {
		connection, err := c.connect(ctx)
		if err != nil {
			return Outcome{}, err
		}
		o, err := c.exchange(ctx, connection, request)
		if err == nil || !connection.reused || !connection.silent() || ctx.Err() != nil {
			return o, err
		}
	}
}

// connect returns a connection that was kept, or a new one.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	if kept := c.kept(); kept != nil {
		kept.reused = true
		return kept, nil
	}
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	port := c.to.Port()
	if port == "" {
		port = c.to.Scheme // a name that net knows
	}
	connection, err := dial(ctx, "tcp", net.JoinHostPort(c.to.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if c.tls != nil {
		secured := tls.Client(connection, c.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = connection.Close() // the handshake's error says more
			return nil, err
		}
		connection = secured
	}
	fresh := &conn{Conn: connection}
	fresh.limit.R = connection
	fresh.reader = bufio.NewReader(&fresh.limit)
	return fresh, nil
}

func (c *Client) kept() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return nil
	}
	kept := c.idle[last]
	c.idle = c.idle[:last]
	return kept
}

// keep keeps a connection for the next request.
func (c *Client) keep(connection *conn) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.idle = append(c.idle, connection)
	}
	c.mu.Unlock()
	if closed {
		_ = connection.Close() // nothing is expected on it
	}
}

// silent reports whether nothing came since the request.
func (c *conn) silent() bool { return c.limit.N == maxRead }

// exchange sends a request on a connection, reads the answer, and keeps the
// connection if it can be used again.
func (c *Client) exchange(ctx context.Context, connection *conn, request []byte) (Outcome, error) {
	stop := context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
	connection.limit.N = maxRead

	// An answer may come before all is sent, such as 413, and end the sending.
	sent := make(chan error, 1)
	go func() {
		_, err := connection.Write(request)
		sent <- err
	}()
	o, whole, err := connection.read()
	if err == nil && o.Status == http.StatusOK {
		if unsent := <-sent; unsent != nil {
			o, err = Outcome{}, errEarly
		}
	} else {
		select {
		case unsent := <-sent:
			whole = whole && unsent == nil
		default:
			whole = false
		}
	}
	if stop() && whole && err == nil && connection.reader.Buffered() == 0 {
		c.keep(connection)
	} else {
		_ = connection.Close() // the error that matters is that of the exchange
	}
	return o, err
}

// read reads an answer. whole tells that it was read to its end and that more
// may follow on the connection.
func (c *conn) read() (o Outcome, whole bool, err error) {
	for hints := 0; ; hints++ {
		resp, err := http.ReadResponse(c.reader, nil) //nolint:bodyclose // who called closes the connection
		switch {
		case err == nil:
		case c.limit.N <= 0:
			return o, false, fmt.Errorf("the head of the answer is larger than %d bytes", maxRead)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return o, false, fmt.Errorf("the connection was closed without an answer: %w", err)
		default:
			return o, false, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols && hints < maxHints {
			continue
		}
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err != nil && c.limit.N > 0 {
			return o, false, fmt.Errorf("the answer broke off: %w", err)
		}
		o.Status, o.Header, o.Answer = resp.StatusCode, resp.Header, answer
		return o, err == nil && !resp.Close && resp.StatusCode >= 200, nil
	}
}
