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
func newPool(g *sample.Generator, n, events int) *pool {
	p := new(pool)
	for i := 0; i < n && len(p.text) < maxText; i++ {
		style, field := sample.Spaced, "comments"
		if i%2 == 1 {
			style, field = sample.Compact, "messages"
		}
		p.addDelivery(g.Delivery(style, events, field))
	}
	return p
}

func (p *pool) addDelivery(body []byte) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	p.add(fmt.Sprintf("POST %s HTTP/1.1\r\n"+
		"Host: "+host+"\r\n"+
		"User-Agent: facebookexternalua\r\n"+
		"Accept: */*\r\n"+
		"Accept-Encoding: deflate, gzip\r\n"+
		"Content-Type: application/json\r\n"+
		"X-Hub-Signature-256: sha256=%s\r\n"+
		"Content-Length: %d\r\n\r\n", path, hex.EncodeToString(mac.Sum(nil)), len(body)), body)
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
