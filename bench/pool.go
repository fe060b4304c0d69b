//go:build linux

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// What the servers are configured with.
const (
	secret = "bench-app-secret"
	token  = "bench-verify-token"
	path   = "/webhooks"
)

// wrongSecret is what forgeries are signed with.
const wrongSecret = "not-the-app-secret"

// pool is a number of requests as they stand on the wire, made before they are
// sent: the loader shares the machine with the servers.
type pool struct {
	text   []byte
	bodies []int // where each request's body starts
	ends   []int // where each request ends
}

func (p *pool) len() int          { return len(p.ends) }
func (p *pool) body(i int) []byte { return p.text[p.bodies[i]:p.ends[i]] }
func (p *pool) request(i int) []byte {
	start := 0
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.text[start:p.ends[i]]
}

// size returns the mean size of a body.
func (p *pool) size() (mean int) {
	for i := range p.ends {
		mean += p.ends[i] - p.bodies[i]
	}
	return mean / len(p.ends)
}

// add adds a request, head and body.
func (p *pool) add(head string, body []byte) {
	p.text = append(p.text, head...)
	p.bodies = append(p.bodies, len(p.text))
	p.text = append(p.text, body...)
	p.ends = append(p.ends, len(p.text))
}

// Requests for one turn: enough for the fastest server, in bounded memory.
const (
	maxRequests = 200_000
	maxText     = 192 << 20
)

// newPool makes signed deliveries of so many events each, at most n. Half of
// them are comments, half messages, as Meta writes them.
func newPool(g *sample.Generator, n, events int) *pool { return newSignedPool(g, n, events, secret) }

func newSignedPool(g *sample.Generator, n, events int, key string) *pool {
	p := new(pool)
	for i := 0; i < n && len(p.text) < maxText; i++ {
		style, field := sample.Spaced, "comments"
		if i%2 == 1 {
			style, field = sample.Compact, "messages"
		}
		body := g.Delivery(style, events, field)
		p.add(head(body, "X-Hub-Signature-256: "+sign(body, key)+"\r\n"), body)
	}
	return p
}

// sign returns the value of the signature's header.
func sign(body []byte, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// head returns the head of a delivery, with further lines.
func head(body []byte, more string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\n"+
		"Host: "+host+"\r\n"+
		"User-Agent: facebookexternalua\r\n"+
		"Accept: */*\r\n"+
		"Accept-Encoding: deflate, gzip\r\n"+
		"Content-Type: application/json\r\n"+
		"%sContent-Length: %d\r\n\r\n", path, more, len(body))
}

// identities returns the identities of the events in a delivery.
func identities(body []byte) []string {
	events := event.Split(body)
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID()
	}
	return ids
}
