package file

import "sync"

// buffers are used again and again: events are rendered into one, and the lines
// of a batch gathered in another.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the capacity above which a buffer is left to the garbage
// collector.
const maxPooled = 1 << 20

// borrow returns an empty buffer, to be given back by giveBack.
func borrow() *[]byte { return buffers.Get().(*[]byte) }

func giveBack(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
