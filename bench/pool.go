//go:build linux

package main

import (
	"net/url"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// What the servers are configured with.
const (
	secret = "be9c40123456789abcdef0123456789a"
	token  = "bench-verify-token"
)

// callback is the URL that deliveries are sent to, wherever the servers listen.
var callback = &url.URL{Scheme: "https", Host: host, Path: "/webhooks"}

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
func (p *pool) add(head, body []byte) {
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
		request := simulate.NewDelivery(key, body).Append(nil, callback)
		p.add(request[:len(request)-len(body)], body)
	}
	return p
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
