package live

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

const (
	maxRefusals = 1000
	maxDetail   = 512 // bytes
)

// refusals are the last refusals, those for the same reason from the same address
// together.
type refusals struct {
	mu    sync.Mutex
	byKey map[refusalKey]*list.Element
	order list.List // of *Refused, the newest first
}

type refusalKey struct{ reason, clientIP string }

// Refused is requests that were refused for one reason from one address.
type Refused struct {
	Time     time.Time `json:"time"` // of the last one
	Reason   string    `json:"reason"`
	Status   int       `json:"status"`
	Detail   string    `json:"detail"` // of the last one, or one within a second of it
	ClientIP string    `json:"client_ip"`
	Count    int       `json:"count"`

	detailed time.Time // when Detail was set
}

// Refuse counts and remembers a request that was refused, and publishes it. Its cause is
// what is logged; it becomes text at most once a second, as refusals come in floods.
func (f *Feed) Refuse(at time.Time, reason string, status int, cause error, clientIP string) {
	f.Failed(at)
	detail := f.refusals.add(at, reason, status, cause, clientIP)
	if f.Watched() {
		f.Publish(Event{Kind: Refusal, Time: at.UTC(), Status: status, Reason: reason, Error: detail, ClientIP: clientIP})
	}
}

func (r *refusals) add(at time.Time, reason string, status int, cause error, clientIP string) (detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusalKey{reason, clientIP}
	element := r.byKey[key]
	if element == nil {
		element = r.insert(key)
	}
	r.order.MoveToFront(element)
	refused := element.Value.(*Refused)
	refused.Time, refused.Status = at, status
	refused.Count++
	if at.Sub(refused.detailed) >= time.Second {
		refused.Detail, refused.detailed = sanitize.Text(cause.Error(), maxDetail), at
	}
	return refused.Detail
}

// insert adds an entry, in place of the oldest one if there are too many.
func (r *refusals) insert(key refusalKey) *list.Element {
	key.clientIP = strings.Clone(key.clientIP) // it may be a part of a long header
	if r.byKey == nil {
		r.byKey = make(map[refusalKey]*list.Element)
	}
	if len(r.byKey) < maxRefusals {
		r.byKey[key] = r.order.PushFront(new(Refused))
	} else {
		oldest := r.order.Back()
		refused := oldest.Value.(*Refused)
		delete(r.byKey, refusalKey{refused.Reason, refused.ClientIP})
		*refused = Refused{}
		r.byKey[key] = oldest
	}
	refused := r.byKey[key].Value.(*Refused)
	refused.Reason, refused.ClientIP = key.reason, key.clientIP
	return r.byKey[key]
}

// Refusals returns the last refusals, the newest first.
func (f *Feed) Refusals() []Refused {
	r := &f.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Refused, 0, len(r.byKey))
	for element := r.order.Front(); element != nil; element = element.Next() {
		refused := *element.Value.(*Refused)
		refused.Time = refused.Time.UTC()
		all = append(all, refused)
	}
	return all
}
