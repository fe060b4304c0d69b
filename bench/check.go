//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// checkedPeers returns the peers with these names, each of which takes what is
// right and refuses forgeries: who does not is not worth measuring.
func (b *bench) checkedPeers(names ...string) ([]peer, error) {
	found, err := find(names...)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.tls && b.tls == nil {
			return nil, fmt.Errorf("%s is there over TLS only", p.name)
		}
		// Variants of a peer are the same server.
		server := fmt.Sprint(p.folder, p.start, p.secrets, b.tls != nil)
		if b.checked[server] {
			continue
		}
		if err := b.check(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		b.checked[server] = true
	}
	return found, nil
}

// attempt is a delivery, and whether it must be taken.
type attempt struct {
	what  string
	body  []byte
	lines string // of the head
	right bool
}

// attempts returns what is tried: deliveries of one event and of many.
func attempts(g *sample.Generator) (all []attempt) {
	const name = "X-Hub-Signature-256: "
	for _, n := range []int{1, batch} {
		body := g.Delivery(sample.Compact, n, "messages")
		signature := sign(body, secret)
		changed := bytes.Clone(body)
		changed[len(changed)/2] ^= 1
		all = append(all,
			attempt{"what is right", body, name + signature + "\r\n", true},
			attempt{"the signature under another secret", body, name + sign(body, wrongSecret) + "\r\n", false},
			attempt{"another body", changed, name + signature + "\r\n", false})
		if n > 1 { // it may be refused before its end was read
			continue
		}
		all = append(all,
			attempt{"no signature", body, "", false},
			attempt{"an empty signature", body, name + "sha256=\r\n", false},
			attempt{"half a signature", body, name + signature[:len(signature)/2] + "\r\n", false})
	}
	return all
}

// check starts a peer and sees what it takes.
func (b *bench) check(p peer) error {
	s, _, done, err := b.stage(p)
	if err != nil {
		return err
	}
	defer done()
	for _, a := range attempts(b.samples) {
		if p.bare && !a.right || p.name == "respond" && len(a.body) > 256<<10 {
			continue
		}
		if err := a.try(s.address, b.tls); err != nil {
			return fmt.Errorf("%w; the server wrote:\n%s", err, s.written())
		}
	}
	if p.tls {
		without := b.tls.Clone()
		without.Certificates = nil
		a := attempts(b.samples)[0]
		a.what, a.right = "what is right, without a client certificate,", false
		return a.try(s.address, without)
	}
	return nil
}

// try makes the attempt. What must not be taken must be refused: no answer is
// no refusal.
func (a attempt) try(address string, config *tls.Config) error {
	c, err := dial(address, config)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.do(append([]byte(head(a.body, a.lines)), a.body...))
	if err != nil {
		return fmt.Errorf("%s: %w", a.what, err)
	}
	if right := status == http.StatusOK; right != a.right || !right && status < http.StatusBadRequest {
		return fmt.Errorf("%s, %d bytes: the answer is %d", a.what, len(a.body), status)
	}
	return nil
}
