package admin

import (
	"cmp"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Forgotten is the answer to a request to erase events.
type Forgotten struct {
	// Count is how many events were erased, or, of a dry run, how many would be, each
	// counted once however many consumers have it.
	Count int `json:"count"`

	// DryRun tells that nothing was done.
	DryRun bool `json:"dry_run,omitempty"`
}

// forget erases what the events hold of a person, of an account or of a message.
func forget(store Store, r *request) (any, error) {
	erasure := queue.Erasure{
		Subject: queue.Subject{User: r.query.Get("user"), Account: r.query.Get("account"), Message: r.query.Get("message")},
		At:      time.UnixMicro(time.Now().UnixMicro()),
		Because: sanitize.Text(cmp.Or(r.query.Get("reason"), "asked for"), maxAudited),
	}
	var err error
	if erasure.DryRun, err = r.flag("dry_run"); err != nil {
		return nil, err
	}
	kind := ""
	for _, name := range []string{"user", "account", "message"} {
		switch {
		case r.query.Has(name) && kind != "":
			return nil, badRequest("give one of the parameters user, account and message, not two")
		case r.query.Has(name):
			kind = name
		}
	}
	if kind == "" {
		return nil, badRequest("whose events? Give one of the parameters user, account and message")
	}
	erase := store.Erase
	if store.Running != nil {
		erase = store.Running.Erase
	}
	n, err := erase(r.Context(), erasure)
	if !erasure.DryRun {
		// Not the id: it would be in the log for as long as that is kept.
		r.audit(store.Name, "events were erased", zap.String("of", kind), zap.Int("events", n), zap.String("reason", erasure.Because),
			zap.Bool("complete", err == nil))
	}
	return Forgotten{Count: n, DryRun: erasure.DryRun}, err
}

// msgRevealed is what the audit log says of an event whose body somebody was shown.
const msgRevealed = "the body of an event was revealed"

// maxAudited is the longest text of a client that is logged, in bytes.
const maxAudited = 200

// audit logs what somebody did. There is nothing of an event in it but its number.
func (r *request) audit(store, what string, fields ...zap.Field) {
	r.log.Info(what, append([]zap.Field{
		zap.String("by", sanitize.Text(cmp.Or(r.query.Get("by"), "the admin API"), maxAudited)),
		zap.String("client", r.RemoteAddr), zap.String("store", store),
	}, fields...)...)
}

// rangeOf returns the lowest and the highest number of events, for the audit log.
func rangeOf(events []queue.Event) []zap.Field {
	first, last := events[0].ID, events[len(events)-1].ID
	return []zap.Field{zap.Uint64("first", min(first, last)), zap.Uint64("last", max(first, last))}
}
