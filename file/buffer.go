package file

import "sync"

// Pools of buffers: rendered for the events of a delivery, gathered for the lines of
// a batch. The latter become much larger, so the two are kept apart.
var rendered, gathered sync.Pool

// maxPooled is the capacity above which a buffer is left to the garbage
// collector.
const maxPooled = 1 << 20

// borrow returns an empty buffer of a pool, to be given back by giveBack.
func borrow(from *sync.Pool) *[]byte {
	if b, ok := from.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func giveBack(b *[]byte, to *sync.Pool) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		to.Put(b)
	}
}
