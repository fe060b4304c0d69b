package queue

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/queue"
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

	// Answers says whether the beginning of what the application answered is kept with
	// an event whose attempts failed, to be shown by `caddy instagram queue show`, and
	// quoted in errors. Default: true.
	Answers *bool `json:"answers,omitempty"`
}

// DefaultMinFreeSpace is what must be free on the disk unless min_free_space is
// set, in bytes.
const DefaultMinFreeSpace = 100 << 20

// The values of unsent.
const (
	unsentKeep  = "keep"
	unsentErase = "erase"
)

func (h *Handler) setDefaults() {
	if h.StoreRaw == nil {
		h.StoreRaw = caddyconfig.JSON(map[string]string{"module": "sqlite"}, nil)
	}
	h.Dedupe = cmp.Or(h.Dedupe, new(caddy.Duration(48*time.Hour)))
	h.Consumer.inherit(&consumerDefaults)
	h.Keep.Delivered = cmp.Or(h.Keep.Delivered, new(caddy.Duration(24*time.Hour)))
	h.Keep.Dead = cmp.Or(h.Keep.Dead, new(caddy.Duration(30*24*time.Hour)))
	h.Keep.Answers = cmp.Or(h.Keep.Answers, new(true))
	h.Unsent = cmp.Or(h.Unsent, unsentKeep)
	h.MinFreeSpace = cmp.Or(h.MinFreeSpace, new(int64(DefaultMinFreeSpace)))
}

// retention says how long events and identities are kept.
func (h *Handler) retention() queue.Retention {
	return queue.Retention{
		Delivered: time.Duration(*h.Keep.Delivered),
		Dead:      time.Duration(*h.Keep.Dead),
		Dedupe:    time.Duration(*h.Dedupe),
	}
}

// ValidateOptions returns an error for an option whose value makes no sense. Options that are not set are valid.
func (h *Handler) ValidateOptions() error {
	for name, d := range map[string]caddy.Duration{
		"dedupe": orZero(h.Dedupe), "keep delivered": orZero(h.Keep.Delivered), "keep dead": orZero(h.Keep.Dead),
	} {
		if d < 0 {
			return fmt.Errorf("%s must not be negative: %s", name, time.Duration(d))
		}
	}
	if err := option.OneOf("unsent", h.Unsent, unsentKeep, unsentErase); err != nil {
		return err
	}
	if h.MaxPending < 0 || h.MaxPendingSize < 0 {
		return errors.New("max_pending must not be negative")
	}
	if orZero(h.MinFreeSpace) < 0 {
		return errors.New("min_free_space must not be negative")
	}
	if err := h.Consumer.ValidateOptions(); err != nil {
		return err
	}
	return validateConsumers(h.Consumers)
}

func orZero[T any](field *T) (value T) {
	if field != nil {
		value = *field
	}
	return value
}
