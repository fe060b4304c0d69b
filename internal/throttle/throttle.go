// Package throttle keeps lines of the same kind from flooding a log.
package throttle

import (
	"sync"
	"time"
)

// Throttle admits one line a second of each kind, and counts the others. The
// zero Throttle is ready for use. It never forgets a kind, so there should be
// few.
type Throttle[K comparable] struct {
	mu      sync.Mutex
	windows map[K]*window
}

// window is the second after a line; what comes within it is only counted.
type window struct {
	began   time.Time
	leftOut int
}

// Admit reports whether a line may be written now, and how many of its kind
// were left out since the one before.
func (t *Throttle[K]) Admit(kind K) (leftOut int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	w := t.windows[kind]
	if w == nil {
		if t.windows == nil {
			t.windows = make(map[K]*window)
		}
		t.windows[kind] = &window{began: now}
		return 0, true
	}
	if now.Sub(w.began) < time.Second {
		w.leftOut++
		return 0, false
	}
	leftOut = w.leftOut
	*w = window{began: now}
	return leftOut, true
}

// Rest calls report for each kind of which lines were left out since its last one.
func (t *Throttle[K]) Rest(report func(kind K, leftOut int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, w := range t.windows {
		if w.leftOut > 0 {
			report(kind, w.leftOut)
			w.leftOut = 0
		}
	}
}

// Error is an error whose log lines are throttled, each Kind by itself.
type Error struct {
	Kind string
	Err  error
}

// Error returns the text of the error alone.
func (e Error) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e Error) Unwrap() error { return e.Err }
