package queue

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// The values of order.
const (
	orderConversation = "conversation"
	orderAccount      = "account"
	orderNone         = "none"
)

// Retry tells when an event that could not be delivered is tried again: after a
// random time (full jitter) up to a bound that doubles with each attempt.
type Retry struct {
	// First is the bound after the first attempt. Default: 1 second.
	First caddy.Duration `json:"first,omitempty"`

	// Max is the largest bound. If the application answers with `Retry-After`, the
	// event is not tried earlier, even if that is later. Default: 10 minutes.
	Max caddy.Duration `json:"max,omitempty"`

	// For is how long an event is tried after its first attempt failed. At the end
	// there is one last attempt; if that fails, the event becomes a dead letter.
	// Time in which it waited for others does not count. Default: 36 hours.
	For caddy.Duration `json:"for,omitempty"`
}

// Keep is how long events are kept after they were delivered or given up, to look
// at them or to send them again. 0 is not at all.
type Keep struct {
	// Delivered is for those that were delivered. Default: 24 hours.
	Delivered *caddy.Duration `json:"delivered,omitempty"`

	// Dead is for dead letters. Default: 30 days.
	Dead *caddy.Duration `json:"dead,omitempty"`
}

// DefaultMinFreeSpace is what must be free on the disk unless min_free_space is
// set, in bytes.
const DefaultMinFreeSpace = 100 << 20

func (h *Handler) setDefaults() {
	if h.StoreRaw == nil {
		h.StoreRaw = caddyconfig.JSON(map[string]string{"module": "sqlite"}, nil)
	}
	h.Dedupe = cmp.Or(h.Dedupe, new(caddy.Duration(48*time.Hour)))
	h.Order = cmp.Or(h.Order, orderConversation)
	h.Retry.First = cmp.Or(h.Retry.First, caddy.Duration(time.Second))
	h.Retry.Max = cmp.Or(h.Retry.Max, caddy.Duration(10*time.Minute))
	h.Retry.For = cmp.Or(h.Retry.For, caddy.Duration(meta.RetryFor))
	h.Timeout = cmp.Or(h.Timeout, caddy.Duration(30*time.Second))
	h.Concurrency = cmp.Or(h.Concurrency, 32)
	h.Keep.Delivered = cmp.Or(h.Keep.Delivered, new(caddy.Duration(24*time.Hour)))
	h.Keep.Dead = cmp.Or(h.Keep.Dead, new(caddy.Duration(30*24*time.Hour)))
	h.MinFreeSpace = cmp.Or(h.MinFreeSpace, new(int64(DefaultMinFreeSpace)))
}

// ValidateOptions returns an error for an option whose value makes no sense. Options that are not set are valid.
func (h *Handler) ValidateOptions() error {
	for name, d := range map[string]caddy.Duration{
		"retry first": h.Retry.First, "retry max": h.Retry.Max, "retry for": h.Retry.For, "timeout": h.Timeout,
		"dedupe": orZero(h.Dedupe), "keep delivered": orZero(h.Keep.Delivered), "keep dead": orZero(h.Keep.Dead),
	} {
		if d < 0 {
			return fmt.Errorf("%s must not be negative: %s", name, time.Duration(d))
		}
	}
	if h.Retry.First > 0 && h.Retry.Max > 0 && h.Retry.First > h.Retry.Max {
		return fmt.Errorf("retry first (%s) must not be longer than retry max (%s)",
			time.Duration(h.Retry.First), time.Duration(h.Retry.Max))
	}
	if err := option.OneOf("order", h.Order, orderConversation, orderAccount, orderNone); err != nil {
		return err
	}
	if h.Concurrency < 0 || h.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency must be 1 to %d: %d", maxConcurrency, h.Concurrency)
	}
	if h.MaxPending < 0 || h.MaxPendingSize < 0 {
		return errors.New("max_pending must not be negative")
	}
	if orZero(h.MinFreeSpace) < 0 {
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

func orZero[T any](field *T) (value T) {
	if field != nil {
		value = *field
	}
	return value
}
