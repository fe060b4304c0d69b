package bolt

import (
	"bytes"

	bbolt "go.etcd.io/bbolt"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// walk goes through events in the order of their ids.
type walk struct {
	oldest bool // first
	at     []*position
}

// walk begins a walk at an id, or at the end of all if it is 0, through the events
// that may have a state.
func (t *txn) walk(state queue.State, oldest bool, from uint64) *walk {
	w := &walk{oldest: oldest}
	add := func(p position) { w.at = append(w.at, &p) }
	if state == "" || state == queue.Pending {
		add(t.live.position(oldest, from))
		add(t.pending.position(oldest, from))
	}
	if state != queue.Pending {
		add(t.done.position(oldest, from))
	}
	return w
}

// here returns the position that is next, or nil.
func (w *walk) here() (next *position) {
	for _, p := range w.at {
		if p.key != nil && (next == nil || w.oldest == (p.id() < next.id())) {
			next = p
		}
	}
	return next
}

// next returns the next id and its status, or 0.
func (w *walk) next() (id uint64, st status, err error) {
	p := w.here()
	if p == nil {
		return 0, st, nil
	}
	id, ok := p.id(), true
	if st = liveStatus(id); !p.set {
		st, ok = decodeStatus(p.value)
	}
	if !ok {
		return 0, st, errDamaged
	}
	p.advance()
	return id, st, nil
}

// position is where a walk through a table or an idSet has come to.
type position struct {
	cursor     *bbolt.Cursor
	set        bool
	up         bool   // to higher keys
	first      []byte // key
	key, value []byte // nil: at the end
	members    uint64 // of the block, from here on
}

// position returns the first position that a walk up or down comes to from an id
// on. If that is 0, it comes from the end.
func (b table) position(up bool, from uint64) position {
	p := position{cursor: b.Cursor(), up: up}
	p.begin(from, from == 0)
	return p
}

func (s *idSet) position(up bool, from uint64) position {
	p := position{cursor: s.Cursor(), set: true, up: up}
	block, bit := from/blockSize, uint64(1)<<(from%blockSize)
	p.begin(block, from == 0)
	p.open()
	if from == 0 || p.key == nil || lastID(p.key) != block {
		return p
	}
	if up {
		p.members &= -bit
	} else {
		p.members &= bit | (bit - 1)
	}
	if p.members == 0 {
		p.step()
		p.open()
	}
	return p
}

// begin goes to a key, or else to the end.
func (p *position) begin(from uint64, end bool) {
	first, value := p.cursor.First()
	if p.first = first; first == nil {
		return // there, Last would not return
	}
	switch {
	case !end:
		p.key, p.value = p.cursor.Seek(number(from))
		switch {
		case p.up:
		case p.key == nil:
			p.key, p.value = p.cursor.Last()
		case lastID(p.key) > from:
			p.step()
		}
	case p.up:
		p.key, p.value = first, value
	default:
		p.key, p.value = p.cursor.Last()
	}
}

// id returns the id at the position.
func (p *position) id() uint64 {
	switch {
	case !p.set:
		return lastID(p.key)
	case p.up:
		return firstOf(lastID(p.key), p.members)
	default:
		return lastOf(lastID(p.key), p.members)
	}
}

// advance goes to the next id.
func (p *position) advance() {
	if p.set {
		p.members &^= 1 << (p.id() % blockSize)
		if p.members != 0 {
			return
		}
	}
	p.step()
	p.open()
}

// open opens a block, or the next one that is not empty.
func (p *position) open() {
	for p.set && p.key != nil {
		if p.members = membersOf(p.value); p.members != 0 {
			return
		}
		p.step()
	}
}

// step goes to the next key. Prev ends at a page that deletions in the open
// transaction have left empty.
func (p *position) step() {
	if p.up {
		p.key, p.value = p.cursor.Next()
		return
	}
	at := p.key
	for p.key = nil; p.key == nil && bytes.Compare(at, p.first) > 0; {
		p.key, p.value = p.cursor.Prev()
	}
}
