package queue

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// Policy says how events are delivered.
type Policy struct {
	// Consumer is who gets the events, and Store the name of where they are, for who watches.
	Consumer, Store string

	// First and Max are the bounds of the time before the next attempt: First
	// after one attempt, twice as much after each further one, up to Max.
	First, Max time.Duration

	// For is how long an event is tried, from the first attempt that failed.
	For time.Duration

	// Timeout bounds an attempt.
	Timeout time.Duration

	// Concurrency is the largest number of attempts at the same time.
	Concurrency int

	// DeadStatus are statuses that, besides 410, make an event a dead letter.
	DeadStatus []int

	// Rate bounds how many attempts begin in a second. 0 means no limit.
	Rate float64

	// KeepAnswers has the Store keep how the bodies of answers begin.
	KeepAnswers bool
}

// Dispatcher delivers what is due in a Store to a Backend. Several dispatchers can
// work on the same Store.
type Dispatcher struct {
	store    Store
	backend  Backend
	policy   Policy
	consumer *live.Consumer
	logger   *zap.Logger
	logLimit throttle.Throttle[logKind]

	// These contexts end one after the other when the Dispatcher stops: leasing at
	// once, attempting after the grace, settling some seconds after the last
	// attempt.
	leasing, attempting, settling             context.Context
	stopLeasing, cutAttempts, stopSettlements context.CancelFunc

	// The goroutines of these groups end with the context of the same kind.
	loops, attempts, settlements sync.WaitGroup

	roomAvailable chan struct{} // tells that there may be room for more events

	mu        sync.Mutex
	stopped   bool
	pace      pace
	ready     []lease // waiting for their attempt
	term      *term   // of the last events that were leased
	yields    int     // calls of Yield
	running   int     // attempts under way
	unsettled int     // attempts that have ended, but are not settled

	lastActivity  time.Time   // when an attempt last began or ended
	stallTimer    *time.Timer // runs while the limit is exhausted, or nil
	cooldownTimer *time.Timer // runs while no attempt may begin, or nil

	rate *rate.Limiter // nil: no limit
	turn time.Time     // when the rate last let an attempt wait for its turn
}

// NewDispatcher returns a Dispatcher that is not started yet. Its log lines name the
// consumer, if that is not the default.
func NewDispatcher(store Store, backend Backend, policy Policy, logger *zap.Logger) *Dispatcher {
	if policy.Consumer != DefaultConsumer {
		logger = logger.With(zap.String("consumer", policy.Consumer))
	}
	d := &Dispatcher{
		store:         store,
		backend:       backend,
		policy:        policy,
		consumer:      live.Shared.Consumer(policy.Consumer),
		logger:        logger,
		roomAvailable: make(chan struct{}, 1),
		pace:          pace{limit: 1, max: policy.Concurrency},
	}
	if policy.Rate > 0 {
		d.rate = rate.NewLimiter(rate.Limit(policy.Rate), 1)
	}
	d.leasing, d.stopLeasing = context.WithCancel(context.Background())
	d.attempting, d.cutAttempts = context.WithCancel(context.Background())
	d.settling, d.stopSettlements = context.WithCancel(context.Background())
	return d
}

// Start begins to deliver.
func (d *Dispatcher) Start() {
	d.loops.Go(d.lease)
}

// settleTimeout is how long Stop waits for the Store after the last attempt.
const settleTimeout = 5 * time.Second

// Stop stops leasing and returns when all attempts under way have ended. Attempts
// that take longer than grace are cancelled; a grace of 0 means no limit. A backend
// that has not returned a second after that is abandoned.
//
// Events of cancelled attempts are released, as if they had not been tried. So is
// an event whose outcome the Store does not accept within a few seconds.
func (d *Dispatcher) Stop(grace time.Duration) {
	if grace > 0 {
		defer time.AfterFunc(grace, d.cutAttempts).Stop()
	}
	d.stopLeasing()
	d.giveBack(grace)
	d.loops.Wait()
	d.attempts.Wait()

	defer time.AfterFunc(settleTimeout, d.stopSettlements).Stop()
	d.settlements.Wait()
	d.cutAttempts()
	d.stopSettlements()
	d.logSuppressed()
}

// giveBack makes sure that no attempt begins any more.
func (d *Dispatcher) giveBack(grace time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.running > 0 {
		d.logger.Info("waiting for attempts under way: what takes longer is cut short and delivered again",
			zap.Int("attempts", d.running), zap.Duration("at_most", grace))
	}
	for _, timer := range []*time.Timer{d.stallTimer, d.cooldownTimer} {
		if timer != nil && timer.Stop() {
			d.loops.Done()
		}
	}
	d.stallTimer, d.cooldownTimer = nil, nil
	d.releaseReady()
}
