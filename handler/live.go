package handler

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/live"
)

// publish counts an authentic delivery that has ended, and tells who watches of it. A
// rejected one was told of already.
func (x *exchange) publish(watched bool) {
	feed := x.h.feed
	events := x.delivery.Events() // none, unless somebody needed them before
	ok := x.answered() && x.w.status == http.StatusOK
	switch {
	case ok:
		feed.Accepted(x.log.Start)
		for i := range events {
			if i == 0 || events[i].Account != events[i-1].Account {
				feed.Came(x.log.Start, events[i].Account, events[i].Field)
			}
		}
	case x.rejection == nil:
		feed.Failed(x.log.Start)
	}
	if !watched || x.rejection != nil {
		return
	}
	took := time.Since(x.log.Start)
	e := live.Event{Kind: live.Delivery, Time: x.log.Start.UTC(), Status: x.w.status, Took: took.Seconds(), Events: len(events), ClientIP: clientIPOf(x.r)}
	if !ok {
		e.Reason, e.Error = x.outcome(), x.problem(took)
	}
	describe(&e, events)
	feed.Publish(e)
}

// maxFields is how many fields of a delivery are told.
const maxFields = 5

// describe tells what the events of a delivery have in common, and their fields. The text
// of the events is a part of the whole delivery, which must not be kept for it.
func describe(e *live.Event, events []event.Event) {
	var fields []string
	for i := range events {
		if field := events[i].Field; len(fields) < maxFields && !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	e.Field = strings.Clone(strings.Join(fields, " "))
	same := func(of func(*event.Event) string) string {
		for i := range events {
			if i > 0 && of(&events[i]) != of(&events[0]) {
				return ""
			}
		}
		return strings.Clone(of(&events[0]))
	}
	if len(events) > 0 {
		e.Account = same(func(e *event.Event) string { return e.Account })
		e.Conversation = same((*event.Event).Conversation)
	}
}
