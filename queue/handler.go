// Package queue is the handler instagram_queue: it accepts authentic events durably,
// answers at once, and has them delivered later. It can be imported to write a module
// for a store, or a config in Go.
package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/misplaced"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler accepts the events of each authentic delivery durably, answers 200 at
// once, and hands the events to its routes afterwards, one at a time, until
// they have taken them. It must come after `instagram_webhook`: what was not
// authenticated is not accepted, but answered with 500.
//
// An answer of 200 means that every event of the delivery is on disk. When that
// cannot be, because the disk is full for example, the answer is 503 and nothing
// of the delivery is kept: Meta sends it again. So your application can be down
// for hours without Meta noticing.
//
// The routes get a POST request for each event, to the URL that the delivery
// came to. Its body is a delivery in Meta's form that holds just this event;
// one that could not be taken apart comes as Meta sent it. These are its headers:
//
// Header | Value
// -------|------
// `Content-Type` | `application/json`, or `application/octet-stream` for a body that is not JSON
// `X-Hub-Signature-256` | Signature of this body under the app secret that the delivery was signed with
// `Ce-Specversion`, `Ce-Id`, `Ce-Type`, `Ce-Source`, `Ce-Time`, `Ce-Subject` | The event's attributes as a CloudEvent
// `Idempotency-Key` | The event's identity, equal in each attempt to deliver it, less than 2000 bytes long; `Ce-Id` is the same with `%` written as `%25`
// `X-Instagram-Consumer` | The name of the consumer
// `X-Instagram-Attempt` | 1 for the first attempt, 2 for the next…
//
// Scheme, host and the address that the delivery came from are those of Meta's
// request, and so are `X-Forwarded-For`, `X-Forwarded-Proto` and
// `X-Forwarded-Host`, which handlers believe as ever if `trusted_proxies` name who
// sent them. Other headers of Meta's request do not come.
//
// The placeholders of `instagram_webhook` and the matcher `instagram` stand for
// this one event. An answer with a status of 2xx means that the event was
// delivered. Anything else is a failed attempt: another status, no answer within
// the timeout, a connection that is refused or breaks off. The event is tried
// again later, and becomes a dead letter in the end, which is kept and can be
// sent again by hand.
//
// An event is delivered at least once. It comes twice only if Caddy, its config, or
// the connection, ended in the middle of an attempt, or the disk failed right after it,
// with the same `Idempotency-Key`. At a reload and a stop attempts have the `grace_period` of
// Caddy to end, or 8 seconds if there is none.
type Handler struct {
	// StoreRaw is where events are kept. Default: `sqlite`, a file in Caddy's
	// data directory. Only one queue can use a store.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.handlers.instagram_queue.stores inline_key=module"`

	// Dedupe is how long an event is remembered: if it comes again, signed with
	// the app secret of the same name, it is dropped as a duplicate. Meta sends
	// again for up to 36 hours, and for WhatsApp for up to 7 days: for those, use
	// 8 days. 0 turns it off. Default: 48 hours.
	Dedupe *caddy.Duration `json:"dedupe,omitempty"`

	// Keep is how long events are kept after they were delivered or given up.
	Keep Keep `json:"keep,omitzero"`

	// Unsent says what becomes of a message, and of its edits, when who wrote it takes it
	// back: with `erase`, what is stored of it is erased. Consumers that had it keep it
	// themselves, and get the event that tells of it; others get only that. With `keep`, it
	// is delivered and kept as ever. Default: `keep`.
	Unsent string `json:"unsent,omitempty"`

	// MaxPending is how many events may wait for one consumer. Beyond that the answer
	// is 503. Default: no limit.
	MaxPending int64 `json:"max_pending,omitempty"`

	// MaxPendingSize is how many bytes the events that wait for one consumer may take.
	// Beyond that the answer is 503. Default: no limit.
	MaxPendingSize int64 `json:"max_pending_size,omitempty"`

	// MinFreeSpace is how many bytes must stay free on the disk of the store.
	// Below that the answer is 503, which leaves the space that is needed to
	// deliver what is in the queue. Caddy warns if there is less at the start. It is an
	// error with `postgres`. Default: 104857600 (100 MiB).
	MinFreeSpace *int64 `json:"min_free_space,omitempty"`

	// The options of the one consumer, or what they are for those of the Consumers that
	// leave them out.
	Consumer

	// Consumers get the events each at its own pace: one that fails or is down is
	// nothing to the others. An event is stored once, and decided upon when it comes:
	// who is added later does not get it, and who is removed keeps what waits. Default:
	// one consumer by the name of `default`, with the routes of the queue.
	Consumers []Named `json:"consumers,omitempty"`

	queue     *runner
	misplaced misplaced.Answerer
}

// Opener is a module in the namespace `http.handlers.instagram_queue.stores`:
// the settings of a store.
type Opener interface {
	// Name tells the store from others, for operators to read: a path or an
	// address. All modules of the process with the same name share one open
	// store, unless they are Variants with other options.
	Name() string

	// Open opens the store. It is called after Provision, when the config
	// starts, unless the store is open in this process already. The store
	// outlives the config: it asks logger each time where to log to.
	Open(logger func() *zap.Logger) (queue.Store, error)
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision prepares the routes and registers the queue with the app. It opens
// nothing.
func (h *Handler) Provision(ctx caddy.Context) error {
	settings, err := h.settings()
	if err != nil {
		return err
	}
	limitsSpace := h.MinFreeSpace != nil
	h.setDefaults()
	module, err := ctx.LoadModule(h, "StoreRaw")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	opener, ok := module.(Opener)
	if !ok {
		return fmt.Errorf("store: the module %T is no store", module)
	}
	if _, remote := opener.(*Postgres); remote && limitsSpace {
		return errors.New("min_free_space is of no use with postgres, whose disk is that of another machine: remove it")
	}
	if err := h.provisionConsumers(ctx); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	services, err := app.Of(ctx)
	if err != nil {
		return err
	}
	h.queue, err = register(services, newRunner(ctx, h, opener, settings))
	return err
}

// Validate checks the options.
func (h *Handler) Validate() error {
	for i := range h.Consumers {
		if c := &h.Consumers[i]; len(c.Routes) == 0 {
			return c.explain(errors.New("instagram_queue needs a handler that takes the events, such as reverse_proxy"))
		}
	}
	return h.ValidateOptions()
}

// Cleanup gives the store back. It is closed once no config uses it.
func (h *Handler) Cleanup() error {
	if h.queue == nil {
		return nil
	}
	return h.queue.release()
}

// ServeHTTP accepts the events of a delivery and answers 200.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	delivery := event.FromContext(r.Context())
	if delivery == nil {
		h.misplaced.Answer(w, r, h.queue.logger, "instagram_queue")
		return nil
	}
	if err := h.accept(r, delivery); err != nil {
		w.Header().Set("Retry-After", retryAfter)
		err = caddyhttp.Error(http.StatusServiceUnavailable,
			throttle.Error{Kind: "instagram_queue", Err: fmt.Errorf("accepting the delivery: %w", err)})
		delivery.Fail(err)
		return err
	}
	delivery.Accept()
	w.WriteHeader(http.StatusOK)
	return nil
}

// retryAfter is what a refused sender is asked to wait, in seconds.
const retryAfter = "30"

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
