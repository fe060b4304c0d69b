package queue

import (
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Policy says how events are delivered.
type Policy struct {
	// First and Max are the bounds of the time before the next attempt: First
	// after one attempt, twice as much after each further one, up to Max.
	First, Max time.Duration

	// For is how long an event is tried, from its acceptance, when it was last
	// requeued, or Since, whatever is the latest.
	For   time.Duration
	Since time.Time

	// Timeout bounds an attempt.
	Timeout time.Duration

	// Concurrency is the largest number of attempts at the same time.
	Concurrency int

	// DeadStatus are statuses that, beside 410, make an event a dead letter.
	DeadStatus []int

	// Retention is how long settled events are kept.
	Retention Retention
}

// Dispatcher delivers what is due in a Store to a handler.
type Dispatcher struct{}

// NewDispatcher returns a Dispatcher that is not started yet.
func NewDispatcher(store Store, backend http.Handler, policy Policy, logger *zap.Logger) *Dispatcher {
	return &Dispatcher{}
}

// Start begins to deliver.
func (d *Dispatcher) Start() {}

// Stop ends the delivery: nothing more is leased. It returns when all attempts
// under way have ended. Those that take longer than grace are cut short; a grace
// of 0 is for ever.
func (d *Dispatcher) Stop(grace time.Duration) {}
