package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// The values of order.
const (
	orderConversation = "conversation"
	orderAccount      = "account"
	orderNone         = "none"
)

// Retry says when an event that could not be delivered is tried again: after a
// random time (full jitter) up to a bound that doubles with each attempt.
type Retry struct {
	// First is the bound after the first attempt. Default: 1 second.
	First caddy.Duration `json:"first,omitempty"`

	// Max is the largest bound. Default: 10 minutes. If the application says
	// `Retry-After`, it is not tried before that, even if that is later.
	Max caddy.Duration `json:"max,omitempty"`

	// For is how long an event is tried after its first attempt failed. Default:
	// 36 hours. At its end there is one last attempt; if that fails, the event
	// becomes a dead letter. Time in which it waited for others does not count.
	For caddy.Duration `json:"for,omitempty"`
}

// Keep is how long events are kept once they are settled, to look at them or to
// send them again. 0 is not at all.
type Keep struct {
	// Delivered is for those that were delivered. Default: 24 hours.
	Delivered *caddy.Duration `json:"delivered,omitempty"`

	// Dead is for dead letters. Default: 30 days.
	Dead *caddy.Duration `json:"dead,omitempty"`
}

// settings returns the options as they were configured, as text to compare.
func (h *Handler) settings() ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	// The Caddyfile adapter numbers the groups of all sites on end, so that the
	// same routes have other numbers in each site.
	numbers := make(map[string]string)
	return groupName.ReplaceAllFunc(text, func(name []byte) []byte {
		number, ok := numbers[string(name)]
		if !ok {
			number = strconv.Itoa(len(numbers))
			numbers[string(name)] = number
		}
		return []byte(`"group":` + number)
	}), nil
}

// groupName matches a numbered group of routes in JSON.
var groupName = regexp.MustCompile(`"group":"group[0-9]+"`)

func (h *Handler) setDefaults() {
	if h.StoreRaw == nil {
		h.StoreRaw = caddyconfig.JSON(map[string]string{"module": "bolt"}, nil)
	}
	if h.Order == "" {
		h.Order = orderConversation
	}
	if h.Concurrency == 0 {
		h.Concurrency = 32
	}
	byDefault(&h.Retry.First, time.Second)
	byDefault(&h.Retry.Max, 10*time.Minute)
	byDefault(&h.Retry.For, meta.RetryFor)
	byDefault(&h.Timeout, 30*time.Second)
	if h.MinFreeSpace == nil {
		h.MinFreeSpace = new(int64(100 << 20))
	}
	for option, value := range map[**caddy.Duration]time.Duration{
		&h.Dedupe:         48 * time.Hour,
		&h.Keep.Delivered: 24 * time.Hour,
		&h.Keep.Dead:      30 * 24 * time.Hour,
	} {
		if *option == nil {
			*option = new(caddy.Duration(value))
		}
	}
}

func byDefault(option *caddy.Duration, value time.Duration) {
	if *option == 0 {
		*option = caddy.Duration(value)
	}
}

// ValidateOptions returns an error for an option whose value makes no sense. An
// option that is not set is as good as its default.
func (h *Handler) ValidateOptions() error {
	for name, d := range map[string]caddy.Duration{
		"retry first": h.Retry.First, "retry max": h.Retry.Max, "retry for": h.Retry.For, "timeout": h.Timeout,
		"dedupe": value(h.Dedupe), "keep delivered": value(h.Keep.Delivered), "keep dead": value(h.Keep.Dead),
	} {
		if d < 0 {
			return fmt.Errorf("%s must not be negative: %s", name, time.Duration(d))
		}
	}
	if h.Retry.First > 0 && h.Retry.Max > 0 && h.Retry.First > h.Retry.Max {
		return fmt.Errorf("retry first (%s) must not be longer than retry max (%s)", time.Duration(h.Retry.First), time.Duration(h.Retry.Max))
	}
	switch h.Order {
	case "", orderConversation, orderAccount, orderNone:
	default:
		return fmt.Errorf("order %q is none of conversation, account and none", h.Order)
	}
	if h.Concurrency < 0 || h.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency must be 1 to %d: %d", maxConcurrency, h.Concurrency)
	}
	if h.MaxPending < 0 || h.MaxPendingSize < 0 {
		return errors.New("max_pending must not be negative")
	}
	if h.MinFreeSpace != nil && *h.MinFreeSpace < 0 {
		return errors.New("min_free_space must not be negative")
	}
	for _, status := range h.DeadStatus {
		if status < 300 || status > 599 {
			return fmt.Errorf("dead status %d is none of a failed attempt: 300 to 599", status)
		}
	}
	return event.ValidateFields(h.Fields)
}

// maxConcurrency bounds the goroutines and connections of a queue.
const maxConcurrency = 4096

func value(d *caddy.Duration) caddy.Duration {
	if d == nil {
		return 0
	}
	return *d
}
