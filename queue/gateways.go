package queue

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// described returns the options that should be the same on all gateways that share a store,
// in words. Where events are delivered to may differ.
func (h *Handler) described() map[string]string {
	all := map[string]string{
		"dedupe":                duration(*h.Dedupe),
		"keep delivered":        duration(*h.Keep.Delivered),
		"keep dead":             duration(*h.Keep.Dead),
		"unsent":                h.Unsent,
		"keep answers":          strconv.FormatBool(*h.Keep.Answers),
		"max_pending":           limit(h.MaxPending),
		"max_pending, in bytes": limit(h.MaxPendingSize),
	}
	for i := range h.Consumers {
		c := &h.Consumers[i]
		of := ""
		if c.Name != queue.DefaultConsumer {
			of = " of " + c.Name
		}
		all["fields"+of] = cmp.Or(strings.Join(slices.Sorted(slices.Values(c.Fields)), " "), "all")
		all["order"+of] = c.Order
		all["matcher"+of] = cmp.Or(c.matcherHash, "none")
		all["retry"+of] = fmt.Sprintf("first %s max %s for %s", duration(c.Retry.First), duration(c.Retry.Max), duration(c.Retry.For))
		all["timeout"+of] = duration(c.Timeout)
		all["concurrency"+of] = strconv.Itoa(c.Concurrency)
		all["rate"+of] = limit(c.Rate)
		all["dead"+of] = fmt.Sprint(slices.Sorted(slices.Values(c.DeadStatus)))
	}
	return all
}

// duration returns a duration as one would write it, such as 48h.
func duration(d caddy.Duration) string {
	return zeroUnits.ReplaceAllString(time.Duration(d).String(), "$1")
}

var zeroUnits = regexp.MustCompile(`([hm])(0m)?0s$`)

// limit returns a number, of which 0 means no limit.
func limit[T int64 | float64](n T) string {
	if n == 0 {
		return "no limit"
	}
	return fmt.Sprint(n)
}

// describe tells the gateways that share the store what this one has, if there are any.
func (o *SharedStore) describe(running []*runner) {
	sharer, ok := o.Store.(queue.Sharer)
	if !ok || len(running) == 0 {
		return
	}
	var all []queue.Recipient
	for _, q := range running {
		for i := range q.handler.Consumers {
			c := &q.handler.Consumers[i]
			all = append(all, queue.Recipient{Name: c.Name, Fields: c.Fields, Matching: len(c.matchers) > 0})
		}
	}
	newest := running[len(running)-1]
	settings := newest.handler.described()
	settings[settingAlerts] = map[bool]string{true: "on", false: "off"}[newest.services.TellsOf(alert.Oldest)]
	sharer.Describe(settings, all)
}

// unknownGeneration is that of a store which could not say who else uses it: it is over.
const unknownGeneration = -1

// learn finds out who gets what is accepted. The caller holds accepting.
func (o *SharedStore) learn(ctx context.Context) error {
	generation, err := int64(0), error(nil)
	if sharer, ok := o.Store.(queue.Sharer); ok {
		var all []queue.Gateway
		if all, generation, err = sharer.Gateways(ctx); err == nil {
			o.others = slices.DeleteFunc(all, func(g queue.Gateway) bool { return g.This })
		} else {
			generation = unknownGeneration
		}
	}
	o.recipients = recipientsOf(o.running, o.others...)
	o.recipients.generation = generation
	return err
}

// relearn is learn, unless somebody else has learned since a generation.
func (o *SharedStore) relearn(ctx context.Context, generation int64) error {
	o.accepting.Lock()
	defer o.accepting.Unlock()
	if o.recipients.generation != generation {
		return nil
	}
	return o.unlearned(ctx, o.learn(ctx))
}

// unlearned returns the error with which the gateway did not learn who gets what: then it
// refuses deliveries.
func (o *SharedStore) unlearned(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		o.refused(err)
	}
	return err
}

// isElsewhere reports whether another gateway has a consumer. The old config of this one looks
// like another if it has other options of the store.
func (o *SharedStore) isElsewhere(consumer string) bool {
	elsewhere := 0
	o.accepting.RLock()
	for _, g := range o.others {
		if slices.Contains(recipientsOf(nil, g).names, consumer) {
			elsewhere++
		}
	}
	o.accepting.RUnlock()
	for _, old := range openStores() {
		if old != o && old.name == o.name && slices.Contains(old.Consumers(), consumer) {
			elsewhere--
		}
	}
	return elsewhere > 0
}
