package bolt

import "slices"

// made is which lines got places in bucketOrder when a transaction made a part.
type made struct {
	tx    int
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

// hadSince reports whether places of a line were made after a transaction.
func (b *buffer) hadSince(tx int, line lineKey) bool {
	return slices.ContainsFunc(b.made[ofLine(line)], func(m made) bool {
		_, had := m.lines[line]
		return had && m.tx > tx
	})
}
