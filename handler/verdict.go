package handler

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"
)

const (
	// verdictLife is how long a verified chain is not verified again.
	verdictLife = time.Minute

	// maxVerdicts bounds the memory for verdicts.
	maxVerdicts = 1024

	// maxChain is the most certificates that a client may send: Meta sends two
	// or three.
	maxChain = 5
)

// verdicts remembers for a while what came of verifying a chain. Verifying one
// costs more than all else about a request, and a client may send any number
// of requests over one connection.
type verdicts struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]verdict
}

type verdict struct {
	refused *refusal // nil: the chain is good
	until   time.Time
}

// of returns the verdict about chain, by judge if it is not known.
func (v *verdicts) of(chain []*x509.Certificate, now time.Time, judge func() *refusal) *refusal {
	key := fingerprint(chain)
	v.mu.Lock()
	known, ok := v.seen[key]
	v.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.refused
	}
	refused := judge()
	until := now.Add(verdictLife)
	for _, cert := range chain {
		// What expires, or becomes valid, within that time is judged again.
		for _, turn := range []time.Time{cert.NotBefore, cert.NotAfter} {
			if turn.After(now) && turn.Before(until) {
				until = turn
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil || len(v.seen) >= maxVerdicts {
		v.seen = make(map[[sha256.Size]byte]verdict)
	}
	v.seen[key] = verdict{refused, until}
	return refused
}

// fingerprint tells chains apart by all of their bytes.
func fingerprint(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for _, cert := range chain {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(cert.Raw)))
		hash.Write(length[:])
		hash.Write(cert.Raw)
	}
	hash.Sum(sum[:0])
	return sum
}
