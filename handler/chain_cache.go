package handler

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

const (
	// chainLife is how long a verified chain is not verified again.
	chainLife = time.Minute

	// maxChains bounds the memory for verified chains.
	maxChains = 1024
)

// chainCache remembers for a while what came of verifying a chain. Verifying one
// costs more than all else about a request, and a client may send any number
// of requests over one connection.
type chainCache struct {
	mu     sync.Mutex
	chains map[[sha256.Size]byte]verifiedChain
}

type verifiedChain struct {
	rejected *rejection // nil: the chain is good
	until    time.Time
}

// verify returns what came of verifying chain, by calling verify if that is not
// known.
func (c *chainCache) verify(chain []*x509.Certificate, now time.Time, verify func() *rejection) *rejection {
	hash := hashChain(chain)
	c.mu.Lock()
	known, ok := c.chains[hash]
	c.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.rejected
	}
	rejected := verify()
	until := now.Add(chainLife)
	for _, cert := range chain {
		// What expires, or becomes valid, within that time is verified again then.
		for _, change := range []time.Time{cert.NotBefore, cert.NotAfter} {
			if change.After(now) && change.Before(until) {
				until = change
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chains == nil || len(c.chains) >= maxChains {
		c.chains = make(map[[sha256.Size]byte]verifiedChain)
	}
	c.chains[hash] = verifiedChain{rejected, until}
	return rejected
}

// hashChain tells chains apart by all of their bytes. A certificate says itself
// where it ends.
func hashChain(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, cert := range chain {
		hash.Write(cert.Raw)
	}
	hash.Sum(sum[:0])
	return sum
}
