package bolt

import (
	"encoding/binary"
	"math/bits"
)

// idSet is a set of ids, in a bucket: number of a block → which of its ids are in
// the set, a bit each. Events that come together have ids of the same blocks. So a
// block that has changed is stored only when another one is looked at, and at the
// end of the commit.
type idSet struct {
	table
	block   uint64 // that was looked at last
	members uint64 // of it
	changed bool
}

// blockSize is how many ids have a block.
const blockSize = 64

func newIDSet(t table) idSet { return idSet{table: t, block: ^uint64(0)} }

// membersOf returns which ids a block holds, as it is stored.
func membersOf(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// look looks at the block of an id, whose bit it returns.
func (t *txn) look(s *idSet, id uint64) (bit uint64) {
	if block := id / blockSize; block != s.block {
		t.save(s)
		s.block, s.members = block, membersOf(s.Get(t.id(block)))
	}
	return 1 << (id % blockSize)
}

// save stores the block that was looked at last, if it has changed.
func (t *txn) save(s *idSet) {
	switch {
	case !s.changed:
	case s.members == 0:
		t.delete(s.table, t.id(s.block))
	default:
		t.put(s.table, t.id(s.block), func(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, s.members) })
	}
	s.changed = false
}

func (t *txn) has(s *idSet, id uint64) bool {
	bit := t.look(s, id)
	return s.members&bit != 0
}

func (t *txn) add(s *idSet, id uint64) {
	bit := t.look(s, id)
	s.members |= bit
	s.changed = true
}

// remove reports whether the id was in the set.
func (t *txn) remove(s *idSet, id uint64) bool {
	bit := t.look(s, id)
	if s.members&bit == 0 {
		return false
	}
	s.members &^= bit
	s.changed = true
	return true
}

// firstOf returns the id of a block's first member.
func firstOf(block, members uint64) uint64 {
	return block*blockSize + uint64(bits.TrailingZeros64(members))
}

// lastOf returns the id of a block's last member.
func lastOf(block, members uint64) uint64 { return block*blockSize + uint64(bits.Len64(members)) - 1 }
