package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// runner is what works for a Handler beside requests: it runs from the start of
// a config to its end, and opens the store in between.
type runner struct {
	handler  *Handler
	opener   Opener
	settings string // of the handler, as they were configured
	ctx      caddy.Context
	services *app.App          // of the config
	server   *caddyhttp.Server // that the handler is in, or an empty one
	logger   *zap.Logger

	users       int           // handlers that were given this queue
	ready       chan struct{} // closed once the store can accept
	store       *SharedStore
	dispatchers []*queue.Dispatcher // of the consumers, in their order

	expiry     sync.WaitGroup
	stopExpiry context.CancelFunc
}

func newRunner(ctx caddy.Context, h *Handler, opener Opener, settings string) *runner {
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil {
		server = new(caddyhttp.Server)
	}
	return &runner{
		handler:  h,
		opener:   opener,
		settings: settings,
		ctx:      ctx,
		server:   server,
		logger:   ctx.Logger(),
		ready:    make(chan struct{}),
	}
}

// register returns the queue of the config that uses the same store as q: q
// itself, or one that was registered for a handler with the same settings, as
// there are when one piece of a Caddyfile stands for several sites.
func register(services *app.App, q *runner) (*runner, error) {
	for _, service := range services.Services() {
		other, ok := service.(*runner)
		if !ok || other.opener.Name() != q.opener.Name() {
			continue
		}
		if other.settings != q.settings {
			return nil, fmt.Errorf("two instagram_queue handlers with different settings use the store %s: give each a store of its own", q.opener.Name())
		}
		other.users++
		return other, nil
	}
	q.users, q.services = 1, services
	services.Register(q)
	return q, nil
}

// Start opens the store and begins to deliver. It implements app.Service.
func (q *runner) Start() error {
	store, err := open(q.opener, q.logger)
	if err != nil {
		return fmt.Errorf("instagram_queue: %w", err)
	}
	q.store = store
	q.warnOfSpace()
	consumers := q.handler.Consumers
	for i := range consumers {
		policy := consumers[i].policy(*q.handler.Keep.Answers)
		policy.Store = store.Name()
		q.dispatchers = append(q.dispatchers, queue.NewDispatcher(store, q.backend(consumers[i].Routes), policy, q.logger))
	}
	if err := store.join(q.ctx, q); err != nil {
		return fmt.Errorf("instagram_queue: %w", err)
	}
	q.warnOfLeft()
	for _, d := range q.dispatchers {
		d.Start()
	}
	ctx, stop := context.WithCancel(context.Background())
	q.stopExpiry = stop
	q.expiry.Go(func() { queue.Expire(ctx, store, q.handler.retention(), q.logger) })
	q.expiry.Go(func() { watchOldest(ctx, store) })
	close(q.ready)
	return nil
}

// defaultGrace is how long attempts may take to end with a config that sets no
// grace_period. For requests Caddy then waits for ever, but an attempt is made
// again, and nobody wants a reload to hang as long as an application does.
// Caddy itself waits 10 seconds for its admin endpoint, and logs an error then.
const defaultGrace = 8 * time.Second

// Stop ends the delivery. It waits for attempts under way as long as Caddy
// waits for requests, and cuts those short that take longer. It implements
// app.Service.
func (q *runner) Stop() error {
	q.stopExpiry()
	grace := q.grace()
	var stopping sync.WaitGroup
	for _, d := range q.dispatchers {
		stopping.Go(func() { d.Stop(grace) })
	}
	stopping.Wait()
	q.expiry.Wait()
	q.store.leave(q)
	return nil
}

// Refusing reports whether the store refuses deliveries just now. While it opens, that is
// not known. It implements app.Refuser.
func (q *runner) Refusing() bool {
	select {
	case <-q.ready:
		return !q.store.RefusingSince().IsZero()
	default:
		return false
	}
}

func (q *runner) grace() time.Duration {
	if server, err := q.ctx.AppIfConfigured("http"); err == nil {
		if grace := time.Duration(server.(*caddyhttp.App).GracePeriod); grace > 0 {
			return grace
		}
	}
	return defaultGrace
}

// release ends the use by one handler.
func (q *runner) release() error {
	if q.users--; q.users > 0 || q.store == nil {
		return nil
	}
	return q.store.release(q.logger)
}

// warnOfLeft tells which consumers are in the store, but no longer in the config.
func (q *runner) warnOfLeft() {
	all, err := q.store.stats() // a store that fails says so elsewhere
	if errors.Is(err, context.DeadlineExceeded) {
		q.logger.Warn("whether events wait for consumers that are no longer in the config is not known: the store does not answer. See 'caddy instagram queue status' once it does",
			zap.String("store", q.store.name))
	}
	for _, stats := range all {
		name := stats.Consumer
		if stats.Pending == 0 || slices.ContainsFunc(q.handler.Consumers, func(c Named) bool { return c.Name == name }) || q.store.isElsewhere(name) {
			continue
		}
		q.logger.Warn(fmt.Sprintf("the consumer %s is no longer in the config, and %d events wait for it: put it into the config again, or give them up with 'caddy instagram queue drop %s'",
			name, stats.Pending, name),
			zap.String("store", q.store.name), zap.String("consumer", name), zap.Int64("pending", stats.Pending))
	}
}

// errNotOpen is what a request gets that comes while the config starts, if the
// store takes long to open.
var errNotOpen = errors.New("the store is not open yet")
