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
	repeated int
	later    *time.Timer // tells what came again too early, or nil
}

// window is an hour in which notices of a kind are counted.
type window struct {
	began time.Time
	count int
}

const (
	// maxNotices is how many notices of a kind there are in an hour, besides the one
	// that says so, and those of what is over.
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
	if e.firing {
		wait = kinds[a.Kind].again - now.Sub(e.at)
	}
	if follow {
		count(a.Kind, followed)
		e.cancel()
		if wait <= 0 {
			c.remember(k, e)
			*e = entry{at: now, firing: true, followed: true}
		}
		return
	}
	if e.followed && now.Sub(e.at) < unproven {
		wait = 0
	}
	if wait > 0 && !(a.Urgent && !e.urgent) {
		e.repeated++
		count(a.Kind, repeated)
		if !e.firing && e.later == nil {
			e.later = time.AfterFunc(wait, func() { c.remind(k, e, a) })
		}
		return
	}
	if !c.admit(a.Kind, now) {
		return
	}
	c.remember(k, e)
	c.send(Notice{Alert: a, Repeated: e.repeated})
	e.cancel()
	*e = entry{at: now, firing: true, urgent: a.Urgent}
}

// remind tells of what had recovered, came back within the hour, and has not ended since.
func (c *Center) remind(k key, e *entry, a Alert) {
	c.mu.Lock()
	due := c.memory[k] == e && e.later != nil
	e.later = nil
	c.mu.Unlock()
	if due {
		c.Raise(a)
	}
}

// recover tells that a cause is over, if it was told of. The caller holds mu.
func (c *Center) recover(a Alert, follow bool) {
	e := c.memory[key{a.Of, a.Cause}]
	if e == nil {
		if kinds[a.Of].shared && !follow {
			c.send(Notice{Alert: a})
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
func (c *Center) admit(kind Kind, now time.Time) bool {
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
		c.send(Notice{Alert: Alert{Kind: kind, Urgent: true, Text: fmt.Sprintf(
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
