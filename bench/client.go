//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// client is a connection to a server, which is opened anew when the server says
// that it closes it. It knows just as much of HTTP as the servers need.
type client struct {
	net.Conn
	address string
	config  *tls.Config
	buf     []byte
	closes  bool // the server does, after its last answer
}

func dial(address string, config *tls.Config) (*client, error) {
	c := &client{address: address, config: config, buf: make([]byte, 8<<10)}
	return c, c.open()
}

func (c *client) open() error {
	conn, err := net.DialTimeout("tcp", c.address, maxWait)
	if err != nil {
		return err
	}
	if c.Conn = conn; c.config != nil {
		secured := tls.Client(conn, c.config)
		if err := secured.Handshake(); err != nil {
			_ = conn.Close() // the handshake's error says more
			return err
		}
		c.Conn = secured
	}
	return c.SetDeadline(time.Now().Add(10 * maxWait))
}

// do sends a request and returns the status of its answer.
func (c *client) do(request []byte) (uint16, error) {
	if c.closes {
		_ = c.Close() // the server has done so
		if err := c.open(); err != nil {
			return 0, err
		}
		c.closes = false
	}
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	for n := 0; ; {
		more, err := c.Read(c.buf[n:])
		if err != nil {
			return 0, fmt.Errorf("no answer: %w", err)
		}
		n += more
		head := bytes.Index(c.buf[:n], []byte("\r\n\r\n"))
		switch {
		case head < 0 && n == len(c.buf):
			return 0, errors.New("the head of an answer is too long")
		case head < 0:
			continue
		}
		status, length, err := parse(c.buf[:head+2])
		if err != nil {
			return 0, err
		}
		connection, _ := headerValue(c.buf[:head+2], "connection")
		c.closes = string(connection) == "close"
		for rest := head + 4 + length - n; rest > 0; {
			more, err := c.Read(c.buf[:min(rest, len(c.buf))])
			if err != nil {
				return 0, fmt.Errorf("half an answer: %w", err)
			}
			rest -= more
		}
		return status, nil
	}
}

// parse returns the status and the length of the body that the head of an answer
// tells.
func parse(head []byte) (status uint16, length int, err error) {
	if len(head) < len("HTTP/1.1 200") || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("no answer of HTTP/1.1: %q", head)
	}
	code, err := strconv.ParseUint(string(head[9:12]), 10, 16)
	if err != nil {
		return 0, 0, fmt.Errorf("status %q", head[9:12])
	}
	value, ok := headerValue(head, "content-length")
	if !ok {
		return 0, 0, fmt.Errorf("an answer does not tell its length: %q", head)
	}
	length, err = strconv.Atoi(string(value))
	return uint16(code), length, err
}

// headerValue returns the value of a header, whose name is in lower case.
func headerValue(head []byte, name string) ([]byte, bool) {
	for len(head) > 0 {
		line := head
		if end := bytes.Index(head, []byte("\r\n")); end >= 0 {
			line, head = head[:end], head[end+2:]
		} else {
			head = nil
		}
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:]), true
		}
	}
	return nil, false
}

func equalFold(text []byte, lower string) bool {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
