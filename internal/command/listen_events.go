package command

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

// heard is the result of listen.
type heard struct {
	outcome
	Events     int `json:"events"`
	Duplicates int `json:"duplicates"`
	Failed     int `json:"failed"`  // not answered with 2xx
	Late       int `json:"late"`    // the sender did not wait for the answer
	Refused    int `json:"refused"` // deliveries whose signature is wrong
}

func (h *heard) text(c *console) {
	c.printf("%s received%s.\n", plural(h.Events, "event"),
		listing("duplicates", h.Duplicates, "failed", h.Failed, "answered too late", h.Late, "refused deliveries", h.Refused))
}

// heardEvent is a line of listen.
type heardEvent struct {
	Time      time.Time       `json:"time"`
	Status    int             `json:"status"`
	Late      bool            `json:"late,omitempty"`
	Refused   string          `json:"refused,omitempty"`
	Duplicate bool            `json:"duplicate"`
	Attempt   int             `json:"attempt,omitempty"`
	Consumer  string          `json:"consumer,omitempty"`
	Field     string          `json:"field,omitempty"`
	Account   string          `json:"account,omitempty"`
	ID        string          `json:"id,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
}

// record counts and prints the events of a delivery. What was answered too late counts
// as taken: that is how duplicates come about.
func (l *listener) record(header http.Header, body []byte, status int, late bool) {
	events := event.Split(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		e := &events[i]
		h := &heardEvent{Time: time.Now().UTC(), Status: status, Late: late, Field: e.Field, Account: e.Account, ID: e.ID()}
		h.Attempt, _ = strconv.Atoi(header.Get("X-Instagram-Attempt"))
		h.Consumer = header.Get("X-Instagram-Consumer")
		unique := !e.NotUnique()
		if key := header.Get("Idempotency-Key"); key != "" && len(events) == 1 {
			h.ID, unique = key, true
		}
		took := status < http.StatusMultipleChoices
		h.Duplicate = unique && l.taken.seen(h.ID, took)
		if l.bodies {
			h.Body = event.AppendLine(nil, e.Envelope())
		}
		l.sum.add(h, took)
		l.print(h)
	}
}

func (h *heard) add(e *heardEvent, took bool) {
	h.Events++
	switch {
	case e.Late:
		h.Late++
	case !took:
		h.Failed++
	}
	if e.Duplicate {
		h.Duplicates++
	}
}

func newListenRows(c *console) *stream {
	return newStream(c, []string{"TIME", "STATUS", "EVENT", "FIELD", "ACCOUNT", "ID"}, 8, 6, 9, 8, 17)
}

// print prints a line.
func (l *listener) print(e *heardEvent) {
	if l.c.json {
		l.c.encode(e, "")
		return
	}
	status, what := strconv.Itoa(e.Status), "new"
	switch {
	case e.Refused != "":
		what = "refused"
	case e.Duplicate:
		what = "duplicate"
	case e.Attempt > 1:
		what = "retry"
	}
	if e.Late {
		status = "late"
	}
	l.rows.print(e.Time.Format(time.TimeOnly), status, what, cmp.Or(e.Field, "-"), cmp.Or(e.Account, "-"), cmp.Or(e.ID, e.Refused))
	if e.Body != nil {
		l.c.printf("%s\n", string(e.Body))
	}
}

// maxKeys is how many keys recentKeys holds at least once it forgets any.
const maxKeys = 100_000

// recentKeys knows the last keys of events. The zero value is empty.
type recentKeys struct {
	young, old map[[sha256.Size]byte]struct{}
}

// seen reports whether a key is known, and remembers it if it is to be.
func (k *recentKeys) seen(key string, remember bool) bool {
	hash := sha256.Sum256([]byte(key))
	_, young := k.young[hash]
	_, old := k.old[hash]
	if remember && !young {
		if len(k.young) == maxKeys {
			k.old, k.young = k.young, nil
		}
		if k.young == nil {
			k.young = make(map[[sha256.Size]byte]struct{})
		}
		k.young[hash] = struct{}{}
	}
	return young || old
}
