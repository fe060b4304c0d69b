package bolt

import (
	"bytes"
	"encoding/binary"
	"slices"

	bbolt "go.etcd.io/bbolt"
)

// Identities are forgotten by the bucket: each of a few holds those of a part of
// the time, so that there is no need to look for old ones.
const parts = 4

// generation is a bucket of identities.
type generation struct {
	*bbolt.Bucket
	start  uint64
	cursor *bbolt.Cursor
}

func newGeneration(b *bbolt.Bucket, start uint64) generation { return generation{b, start, b.Cursor()} }

// at returns when an identity was accepted, or 0.
func (g *generation) at(id identity) uint64 {
	if key, at := g.cursor.Seek(id[:]); len(at) == 8 && bytes.Equal(key, id[:]) {
		return binary.BigEndian.Uint64(at)
	}
	return 0
}

// loadSeen lists the generations.
func (t *txn) loadSeen() {
	if t.generations != nil {
		return
	}
	c := t.seen.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		t.generations = append(t.generations, newGeneration(t.seen.Bucket(key), lastID(key)))
	}
	slices.Reverse(t.generations)
}

// wasSeen reports whether an event with the identity of a record was accepted
// within the window.
func (a *acceptance) wasSeen(t *txn, i int) bool {
	id := a.identities[i]
	at, ok := t.buffer.seenAt(id)
	if !ok {
		at = a.ahead.seenAt(t, i, id)
	}
	return at+uint64(a.admission.Dedupe.Microseconds()) > t.now && at > 0
}

// seenAt returns when an identity was accepted last, as far as the file knows, or
// 0.
func (t *txn) seenAt(id identity) (at uint64) {
	t.loadSeen()
	for _, g := range t.generations {
		at = max(at, g.at(id))
	}
	return at
}

// generation returns the bucket that identities are stored in now.
func (t *txn) generation() (*bbolt.Bucket, error) {
	t.loadSeen()
	if len(t.generations) > 0 {
		newest := t.generations[0]
		if t.window == 0 || newest.start+uint64(t.window.Microseconds())/parts > t.now {
			return newest.Bucket, nil
		}
	}
	b, err := t.seen.CreateBucketIfNotExists(number(t.now))
	if err != nil {
		return nil, err
	}
	t.generations = append([]generation{newGeneration(b, t.now)}, t.generations...)
	return b, nil
}
