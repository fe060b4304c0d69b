package bolt

import "slices"

// made is what a transaction has made of a part.
type made struct {
	tx    int
	seen  map[identity]uint64
	lines map[lineKey]waiting
}

// remembered is for how many transactions the buffer knows what was made.
const remembered = 4

// forget forgets what was made long before a transaction.
func (b *buffer) forget(tx int) {
	b.since = max(b.since, tx-remembered)
	for i := range b.made {
		b.made[i] = slices.DeleteFunc(b.made[i], func(m made) bool { return m.tx <= b.since })
	}
}

// seenSince returns when an identity was seen that was made after a transaction,
// or 0.
func (b *buffer) seenSince(tx int, id identity) (at uint64) {
	for _, m := range b.made[ofIdentity(id)] {
		if m.tx > tx {
			at = max(at, m.seen[id])
		}
	}
	return at
}

// hadSince reports whether places of a line were made after a transaction.
func (b *buffer) hadSince(tx int, line lineKey) bool {
	return slices.ContainsFunc(b.made[ofLine(line)], func(m made) bool {
		_, had := m.lines[line]
		return had && m.tx > tx
	})
}
