package queue

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Consumer is who takes events from a queue, and how they are delivered to it.
type Consumer struct {
	// Fields are the fields of the events to deliver, such as `comments`. An event
	// that no consumer takes is acknowledged, counted in the metrics, and forgotten.
	// What could not be taken apart is always delivered: nobody knows what it is.
	// Caddy warns at load of a name that is not known. Default: all.
	Fields []string `json:"fields,omitempty"`

	// Order tells which events are delivered one after the other, in the order
	// in which they came. An event that fails holds back only those behind it.
	//
	// Value | Meaning
	// ------|--------
	// `conversation` | Those of one conversation, or of one thread of comments (the default)
	// `account` | Those of one account
	// `none` | None
	Order string `json:"order,omitempty"`

	// Retry says when an event that could not be delivered is tried again.
	Retry Retry `json:"retry,omitzero"`

	// Timeout is how long an attempt may take. Default: 30 seconds.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Concurrency is how many events are delivered at the same time at most. The
	// queue starts with 1 and takes more as deliveries succeed, and starts again
	// when all fail, so that an application that recovers is not overrun.
	// Default: 32.
	Concurrency int `json:"concurrency,omitempty"`

	// Rate is how many attempts begin in a second at most, evenly spaced. It may be a
	// fraction, such as 0.5. Default: no limit.
	Rate float64 `json:"rate,omitempty"`

	// DeadStatus are response statuses that end retries at once, besides 410:
	// the event becomes a dead letter. Name none that a framework answers by
	// itself, such as 400 or 422.
	DeadStatus []int `json:"dead_status,omitempty"`

	// Routes hand the events to the application. At least one is needed. An event
	// that none of their handlers takes has failed.
	Routes caddyhttp.RouteList `json:"routes,omitempty"`
}

// Named is one of several consumers of a queue. What it leaves out of the options of a
// consumer is as the queue has it; of `retry`, each option for itself.
type Named struct {
	// Name tells the consumer from others, in metrics, commands and the header
	// `X-Instagram-Consumer`: up to 63 of `a` to `z`, `0` to `9`, `-` and `_`. What waits
	// for a consumer is kept under its name.
	Name string `json:"name"`

	// From is where a new consumer begins: with the events that come, or, if it is
	// `kept`, with those that the queue still keeps for others. Default: with those
	// that come.
	From string `json:"from,omitempty"`

	// MatcherSetsRaw select the events for the consumer, among those of its fields, as the
	// matchers of a route do. They are evaluated once, when an event comes, with the request
	// of the first attempt to deliver it. What could not be taken apart must match too. If a
	// matcher fails, the delivery is answered with 503. Cannot be used with `from`. Default:
	// all events match.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	Consumer

	matchers    caddyhttp.MatcherSets
	matcherHash string // tells them from others, without the secrets that they may have
}

// fromKept is the value of from.
const fromKept = "kept"

// maxConsumers bounds the consumers of a config. A store has room for some that left it.
const maxConsumers = 32

// consumerDefaults are the options of a consumer that are not set.
var consumerDefaults = Consumer{
	Order: string(queue.ByConversation),
	Retry: Retry{
		First: caddy.Duration(time.Second),
		Max:   caddy.Duration(10 * time.Minute),
		For:   caddy.Duration(meta.RetryFor),
	},
	Timeout:     caddy.Duration(30 * time.Second),
	Concurrency: 32,
}

// inherit sets the options that are not set. Routes are the consumer's own.
func (c *Consumer) inherit(from *Consumer) {
	if len(c.Fields) == 0 {
		c.Fields = from.Fields
	}
	c.Order = cmp.Or(c.Order, from.Order)
	c.Retry.First = cmp.Or(c.Retry.First, from.Retry.First)
	c.Retry.Max = cmp.Or(c.Retry.Max, from.Retry.Max)
	c.Retry.For = cmp.Or(c.Retry.For, from.Retry.For)
	c.Timeout = cmp.Or(c.Timeout, from.Timeout)
	c.Concurrency = cmp.Or(c.Concurrency, from.Concurrency)
	c.Rate = cmp.Or(c.Rate, from.Rate)
	if len(c.DeadStatus) == 0 {
		c.DeadStatus = from.DeadStatus
	}
}

// maxConcurrency bounds the goroutines and connections of a consumer.
const maxConcurrency = 4096

// minRate is one attempt a day.
const minRate = 1. / (24 * 60 * 60)

// ValidateOptions returns an error for an option whose value makes no sense. Options
// that are not set are valid.
func (c *Consumer) ValidateOptions() error {
	for name, d := range map[string]caddy.Duration{
		"retry first": c.Retry.First, "retry max": c.Retry.Max, "retry for": c.Retry.For, "timeout": c.Timeout,
	} {
		if d < 0 {
			return fmt.Errorf("%s must not be negative: %s", name, time.Duration(d))
		}
	}
	if c.Retry.First > 0 && c.Retry.Max > 0 && c.Retry.First > c.Retry.Max {
		return fmt.Errorf("retry first (%s) must not be longer than retry max (%s)",
			time.Duration(c.Retry.First), time.Duration(c.Retry.Max))
	}
	if err := option.OneOf("order", c.Order,
		string(queue.ByConversation), string(queue.ByAccount), string(queue.Unordered)); err != nil {
		return err
	}
	if c.Concurrency < 0 || c.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency must be 1 to %d: %d", maxConcurrency, c.Concurrency)
	}
	if c.Rate != 0 && c.Rate < minRate {
		return fmt.Errorf("rate is in attempts a second and must be at least one a day: %g", c.Rate)
	}
	for _, status := range c.DeadStatus {
		if status < 300 || status > 599 {
			return fmt.Errorf("dead status %d is none of a failed attempt: 300 to 599", status)
		}
	}
	return event.ValidateFields(c.Fields)
}

// consumerName matches the names of consumers.
var consumerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidateOptions does so for the options of a consumer with a name.
func (n *Named) ValidateOptions() error {
	if n.From != "" && n.From != fromKept {
		return fmt.Errorf("from %q is unknown: there is only from kept", n.From)
	}
	if n.From != "" && len(n.MatcherSetsRaw)+len(n.matchers) > 0 {
		return errors.New("from kept cannot be used with a matcher, which selects events when they come: use fields instead, or begin with what comes")
	}
	return n.Consumer.ValidateOptions()
}

// validateConsumers returns an error if the consumers do not go together.
func validateConsumers(consumers []Named) error {
	if len(consumers) > maxConsumers {
		return fmt.Errorf("there are more than %d consumers", maxConsumers)
	}
	for i := range consumers {
		c := &consumers[i]
		if !consumerName.MatchString(c.Name) {
			return fmt.Errorf("the name of a consumer is up to 63 of a-z, 0-9, - and _, and begins with a letter or a digit: %q is not", c.Name)
		}
		if slices.ContainsFunc(consumers[:i], func(other Named) bool { return other.Name == c.Name }) {
			return fmt.Errorf("the consumer %s is given twice", c.Name)
		}
		if err := c.ValidateOptions(); err != nil {
			return c.explain(err)
		}
	}
	return nil
}

// explain says which consumer an error is about, unless it is the one that needs no name.
func (n *Named) explain(err error) error {
	if n.Name == queue.DefaultConsumer {
		return err
	}
	return fmt.Errorf("consumer %s: %w", n.Name, err)
}

// provisionConsumers completes the consumers. Without any, the options and routes of the
// handler itself are those of one.
func (h *Handler) provisionConsumers(ctx caddy.Context) error {
	if len(h.Consumers) == 0 {
		h.Consumers = []Named{{Name: queue.DefaultConsumer, Consumer: h.Consumer}}
	} else if len(h.Routes) > 0 {
		return errors.New("the queue has consumers, and routes of its own: put the routes into a consumer")
	}
	var fields []string // each once, for the warnings
	for i := range h.Consumers {
		c := &h.Consumers[i]
		c.inherit(&h.Consumer)
		if err := c.provisionMatchers(ctx); err != nil {
			return c.explain(fmt.Errorf("match: %w", err))
		}
		if err := c.Routes.Provision(ctx); err != nil {
			return c.explain(fmt.Errorf("routes: %w", err))
		}
		queue.InitCounters(c.Name, c.Fields)
		for _, field := range c.Fields {
			if !slices.Contains(fields, field) {
				fields = append(fields, field)
			}
		}
	}
	option.LogUnknownFields(ctx.Logger(), fields)
	return nil
}

// provisionMatchers loads the matchers.
func (n *Named) provisionMatchers(ctx caddy.Context) error {
	if len(n.MatcherSetsRaw) > 0 {
		text, err := json.Marshal(n.MatcherSetsRaw)
		if err != nil {
			return err
		}
		n.matcherHash = fmt.Sprintf("%.4x", sha256.Sum256(text))
	}
	modules, err := ctx.LoadModule(n, "MatcherSetsRaw")
	if err != nil {
		return err
	}
	return n.matchers.FromInterface(modules)
}

// joined is how the store knows the consumer.
func (n *Named) joined() queue.Consumer {
	c := queue.Consumer{Name: n.Name, Order: queue.Order(n.Order), FromKept: n.From == fromKept}
	if c.FromKept && len(n.Fields) > 0 {
		c.Fields = append(slices.Clip(n.Fields), event.Unparsed)
	}
	return c
}

// policy translates the options.
func (n *Named) policy(keepAnswers bool) queue.Policy {
	return queue.Policy{
		Consumer:    n.Name,
		First:       time.Duration(n.Retry.First),
		Max:         time.Duration(n.Retry.Max),
		For:         time.Duration(n.Retry.For),
		Timeout:     time.Duration(n.Timeout),
		Concurrency: n.Concurrency,
		DeadStatus:  n.DeadStatus,
		Rate:        n.Rate,
		KeepAnswers: keepAnswers,
	}
}
