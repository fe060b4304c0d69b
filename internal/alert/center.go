package alert

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// Center decides which alerts are told, and hands them to the receivers of the newest
// config. The zero Center is ready for use.
type Center struct {
	mu     sync.Mutex
	memory map[key]*entry
	told   map[Kind]*window
	sets   [][]*Receiver // of the configs that run, the newest last
}

// Shared is the center of this process: it outlives configs.
var Shared = new(Center)

type key struct {
	kind  Kind
	cause string
}

// entry is what is known of a cause.
type entry struct {
	at       time.Time // when it was last told
	firing   bool      // it was told, and is not over
	urgent   bool      // it was told as such
	followed bool      // it was left to another process
	reason   string    // that was told
	repeated int
	later    *time.Timer // tells what came too early, or nil
	early    Alert       // that: the newest one
}

// window is an hour in which notices of a kind are counted.
type window struct {
	began time.Time
	count int
}

const (
	// maxNotices is how many notices of a kind there are in an hour, besides the one
	// that says so, and those that such a notice is over.
	maxNotices = 20

	// maxCauses is how many causes are remembered.
	maxCauses = 1024

	// unproven is how long a process may be taken to live on, and to tell, that has ended.
	unproven = 2 * time.Minute
)

// Raise tells of an alert, unless its cause was told of a short time ago. It blocks on
// nothing.
func (c *Center) Raise(a Alert) { c.raise(a, false) }

// Follow takes note of an alert that another process raises, so that this one can go on when
// the other has ended: with nothing that was told already, and with nothing left out.
func (c *Center) Follow(a Alert) { c.raise(a, true) }

func (c *Center) raise(a Alert, follow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Kind == Recovered {
		c.recover(a, follow)
		return
	}
	k, now := key{a.Kind, a.Cause}, time.Now()
	e := c.memory[k]
	if e == nil {
		e = new(entry)
	}
	wait := hour - now.Sub(e.at)
	if e.firing && e.reason == a.Reason {
		wait = kinds[a.Kind].again - now.Sub(e.at)
	}
	if follow {
		count(a.Kind, followed)
		e.cancel()
		if wait <= 0 {
			c.remember(k, e)
			*e = entry{at: now, firing: true, followed: true, reason: a.Reason}
		}
		return
	}
	if e.followed && now.Sub(e.at) < unproven {
		wait = 0
	}
	if wait > 0 && !(a.Urgent && !e.urgent) {
		e.repeated++
		count(a.Kind, repeated)
		e.early = a
		if e.later == nil && (!e.firing || e.reason != a.Reason) {
			e.later = time.AfterFunc(wait, func() { c.remind(k, e) })
		}
		return
	}
	c.remember(k, e)
	if !c.admit(a, now) {
		return
	}
	c.send(Notice{Alert: a, Repeated: e.repeated})
	e.cancel()
	*e = entry{at: now, firing: true, urgent: a.Urgent, reason: a.Reason}
}

// remind tells of what came too early, for it had recovered and came back, or has another
// reason, and has not ended since.
func (c *Center) remind(k key, e *entry) {
	c.mu.Lock()
	due, early := c.memory[k] == e && e.later != nil, e.early
	e.later = nil
	if due {
		e.repeated-- // as it was not left out
	}
	c.mu.Unlock()
	if due {
		c.Raise(early)
	}
}

// recover tells that a cause is over, if it was told of. The caller holds mu.
func (c *Center) recover(a Alert, follow bool) {
	k := key{a.Of, a.Cause}
	e := c.memory[k]
	if e == nil {
		if kinds[a.Of].shared && !follow {
			c.remember(k, new(entry)) // so that it is told once
			if c.admit(a, time.Now()) {
				c.send(Notice{Alert: a})
			}
		}
		return
	}
	e.cancel()
	if e.firing && !follow {
		c.send(Notice{Alert: a, Repeated: e.repeated})
	}
	e.firing, e.repeated = false, 0
}

// Sync raises these alerts, and tells of other causes of the kind that they are over.
func (c *Center) Sync(kind Kind, alerts []Alert, over string) {
	lasting := make(map[string]bool)
	for _, a := range alerts {
		lasting[a.Cause] = true
		c.Raise(a)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.memory {
		if k.kind == kind && !lasting[k.cause] {
			c.recover(Alert{Kind: Recovered, Of: kind, Cause: k.cause, Text: over}, false)
		}
	}
}

// admit reports whether there may be another notice of a kind. The caller holds mu.
func (c *Center) admit(a Alert, now time.Time) bool {
	kind := a.Kind
	w := c.told[kind]
	if w == nil || now.Sub(w.began) >= hour {
		if c.told == nil {
			c.told = make(map[Kind]*window)
		}
		w = &window{began: now}
		c.told[kind] = w
	}
	w.count++
	switch {
	case w.count <= maxNotices:
		return true
	case w.count == maxNotices+1:
		c.send(Notice{Alert: Alert{Kind: kind, Of: a.Of, Urgent: true, Text: fmt.Sprintf(
			"There are more than %d causes of this kind within an hour: the others are not told of one by one. Look into the log.", maxNotices)}})
	}
	count(kind, dropped)
	return false
}

// remember keeps the entry of a cause, in place of the one told of the longest ago if
// there are many. The caller holds mu.
func (c *Center) remember(k key, e *entry) {
	if c.memory == nil {
		c.memory = make(map[key]*entry)
	}
	if c.memory[k] == nil && len(c.memory) >= maxCauses {
		var oldest key
		for other, o := range c.memory {
			if first := c.memory[oldest]; first == nil || o.at.Before(first.at) {
				oldest = other
			}
		}
		c.memory[oldest].cancel()
		delete(c.memory, oldest)
	}
	c.memory[k] = e
}

// send hands a notice to the receivers. The caller holds mu.
func (c *Center) send(n Notice) {
	n.Time, n.Host = time.Now().UTC(), host()
	if len(c.sets) == 0 {
		return
	}
	for _, r := range c.sets[len(c.sets)-1] {
		if r.Wants(&n) {
			r.offer(n)
		}
	}
}

// host names this gateway.
var host = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
})

// cancel forgets what would be told later.
func (e *entry) cancel() {
	if e.later != nil {
		e.later.Stop()
		e.later = nil
	}
}
