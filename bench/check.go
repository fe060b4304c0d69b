//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// checkedTargets returns the targets with these names. It returns an error unless
// each takes what is right and refuses forgeries: others are not worth measuring.
func (b *bench) checkedTargets(names ...string) ([]target, error) {
	found, err := find(names...)
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		if t.tls && b.tls == nil {
			return nil, fmt.Errorf("%s is there over TLS only", t.name)
		}
		// Variants of a target are the same server.
		server := fmt.Sprint(t.folder, t.start, t.secrets, b.tls != nil)
		if b.checked[server] {
			continue
		}
		if err := b.check(t); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		b.checked[server] = true
	}
	return found, nil
}

// attempt is a delivery, and whether it must be taken.
type attempt struct {
	what string
	*simulate.Delivery
	right bool
}

// attempts returns what is tried: deliveries of one event and of many.
func attempts(g *sample.Generator) (all []attempt) {
	for _, n := range []int{1, batch} {
		right := simulate.NewDelivery(secret, g.Delivery(sample.Compact, n, "messages"))
		changed := *right
		changed.Body = bytes.Clone(right.Body)
		changed.Body[len(changed.Body)/2] ^= 1
		all = append(all,
			attempt{"what is right", right, true},
			attempt{"the signature under another secret", simulate.NewDelivery(wrongSecret, right.Body), false},
			attempt{"another body", &changed, false})
		if n > 1 { // it may be refused before its end was read
			continue
		}
		signed := func(signature string) *simulate.Delivery {
			d := *right
			d.Signature = signature
			return &d
		}
		all = append(all,
			attempt{"no signature", signed(""), false},
			attempt{"an empty signature", signed("sha256="), false},
			attempt{"half a signature", signed(right.Signature[:len(right.Signature)/2]), false})
	}
	return all
}

// check starts a target and sees what it takes.
func (b *bench) check(t target) error {
	s, _, done, err := b.stage(t)
	if err != nil {
		return err
	}
	defer done()
	for _, a := range attempts(b.samples) {
		if t.bare && !a.right || t.name == "respond" && len(a.Body) > 256<<10 {
			continue
		}
		if err := a.try(s.address, b.tls); err != nil {
			return fmt.Errorf("%w; the server wrote:\n%s", err, s.written())
		}
	}
	if t.tls {
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
	status, err := c.do(a.Append(nil, callback))
	if err != nil {
		return fmt.Errorf("%s: %w", a.what, err)
	}
	if right := status == http.StatusOK; right != a.right || !right && status < http.StatusBadRequest {
		return fmt.Errorf("%s, %d bytes: the answer is %d", a.what, len(a.Body), status)
	}
	return nil
}
