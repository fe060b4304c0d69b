package file

import (
	"container/list"
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// The values of layout.
const (
	layoutLines = "lines"
	layoutFiles = "files"
)

// record is what is written of one event, or of a raw delivery.
type record struct {
	name string // of its file, in the layout files
	data []byte // without a line feed
}

// sink is where records are written to.
type sink interface {
	// add returns once the records are on disk, or with an error. It can be
	// called at the same time from many goroutines.
	add([]record) error
	configure(*Handler)
	close() error
}

// newSink returns the sink of a layout at path.
func newSink(layout, path string, d disk) sink {
	if layout == layoutFiles {
		return newDirectory(path, d)
	}
	return newLines(path, d)
}

// maxOpen is how many sinks are open at a time.
const maxOpen = 128

// pools holds the one pool of the process: a file is opened once, however many
// handlers and configs write to it.
var pools = caddy.NewUsagePool()

// pool keeps sinks open between deliveries. Those that nobody uses are closed,
// the least recently used first, to make room for others.
type pool struct {
	disk  disk
	limit int

	mu       sync.Mutex
	released *sync.Cond // a sink was released
	sinks    map[string]*pooled
	idle     list.List // of *pooled, the least recently used first
	closing  int       // how many are not in sinks any more, but still open
	closed   bool
}

// pooled is a sink of the pool.
type pooled struct {
	sink
	key  string
	refs int
	elem *list.Element // in idle, when refs is 0
}

func newPool(d disk, limit int) *pool {
	p := &pool{disk: d, limit: limit, sinks: make(map[string]*pooled)}
	p.released = sync.NewCond(&p.mu)
	return p
}

// sharedPool returns the pool of the process. Each call must be followed by
// one of releasePool.
func sharedPool() *pool {
	p, _ := pools.LoadOrStore("files", newPool(osDisk{}, maxOpen))
	return p.(*pool)
}

func releasePool() error {
	_, err := pools.Delete("files")
	return err
}

// acquire returns the sink at path, with the options of h. It waits while all
// sinks are in use. The caller must hold no other sink, and must release this
// one.
func (p *pool) acquire(path string, h *Handler) *pooled {
	key := h.Layout + ":" + path
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if s, ok := p.sinks[key]; ok {
			if s.elem != nil {
				p.idle.Remove(s.elem)
				s.elem = nil
			}
			s.refs++
			s.configure(h)
			return s
		}
		switch {
		case len(p.sinks)+p.closing < p.limit:
			p.sinks[key] = &pooled{sink: newSink(h.Layout, path, p.disk), key: key}
		case p.idle.Len() > 0:
			oldest := p.idle.Front().Value.(*pooled)
			p.remove(oldest)
			p.closing++
			p.mu.Unlock()
			oldest.closeAndLog(h.logger)
			p.mu.Lock()
			p.closing--
			p.released.Broadcast()
		default:
			p.released.Wait()
		}
	}
}

func (p *pool) release(s *pooled, logger *zap.Logger) {
	p.mu.Lock()
	s.refs--
	last := s.refs == 0
	if last {
		s.elem = p.idle.PushBack(s)
	}
	closed := last && p.closed
	if closed {
		p.remove(s)
	}
	p.released.Broadcast()
	p.mu.Unlock()
	if closed {
		s.closeAndLog(logger)
	}
}

// remove takes an idle sink out of the pool. It is closed without the lock held,
// as that can take long.
func (p *pool) remove(s *pooled) {
	p.idle.Remove(s.elem)
	delete(p.sinks, s.key)
}

// closeAndLog closes a sink. All in it is on disk, so a failure loses nothing.
func (s *pooled) closeAndLog(logger *zap.Logger) {
	if err := s.close(); err != nil {
		logger.Warn("closing a file", zap.String("path", s.key), zap.Error(err))
	}
}

// Destruct closes all sinks. Those in use are closed when they are released: a
// request of an old config may go on for a while.
func (p *pool) Destruct() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for e := p.idle.Front(); e != nil; e = p.idle.Front() {
		s := e.Value.(*pooled)
		p.remove(s)
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
