package alert

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Receiver is told of alerts, one after the other, in a goroutine of its own.
type Receiver struct {
	// Name tells an operator which receiver it is. It holds no secret.
	Name string

	// Key is the same for the same receiver in the next config, which is handed what
	// waits.
	Key string

	// Only are the kinds that it is told of. Without any, it is told of all.
	Only []Kind

	// Send tells the receiver of one alert. What fails is tried again, unless the error
	// is Permanent.
	Send func(context.Context, *Notice) error

	Logger *zap.Logger

	mu      sync.Mutex
	waiting []Notice
	wake    chan struct{}

	stop, cut context.CancelFunc
	ended     chan struct{}
}

const (
	maxWaiting  = 64               // notices that wait for one receiver
	sendTimeout = 20 * time.Second // of one try
	tryFor      = time.Hour        // to send one notice
	firstPause  = 2 * time.Second  // between two tries; it doubles
	maxPause    = 5 * time.Minute
	stopGrace   = 2 * time.Second // for a try under way when the config ends
)

// Failure is an error of Send that says how to go on.
type Failure struct {
	Err       error
	Permanent bool          // it is of no use to try again
	After     time.Duration // when to try again, if the receiver has said so
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Start makes these the receivers. Stop must be called with the same ones.
func (c *Center) Start(receivers []*Receiver) {
	if len(receivers) == 0 {
		return
	}
	for _, r := range receivers {
		r.start()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets = append(c.sets, receivers)
}

// Stop ends the receivers. What waits for them goes to the same ones of another config.
func (c *Center) Stop(receivers []*Receiver) {
	c.mu.Lock()
	i := slices.IndexFunc(c.sets, func(set []*Receiver) bool { return slices.Equal(set, receivers) })
	if i >= 0 {
		c.sets = slices.Delete(c.sets, i, i+1)
	}
	c.mu.Unlock()
	if i < 0 { // they were never started
		return
	}
	var stopping sync.WaitGroup
	for _, r := range receivers {
		stopping.Go(func() { c.handOver(r, r.end()) })
	}
	stopping.Wait()
}

// handOver gives to its successor what a receiver has left.
func (c *Center) handOver(r *Receiver, left []Notice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, set := range slices.Backward(c.sets) {
		for _, other := range set {
			if other.Key == r.Key {
				for _, n := range left {
					other.offer(n)
				}
				return
			}
		}
	}
	for _, n := range left {
		count(n.Kind, dropped)
	}
	if len(left) > 0 {
		r.Logger.Error("alerts were not sent, as Caddy stops or they have no receiver any more", zap.String("to", r.Name), zap.Int("alerts", len(left)))
	}
}

// Wants reports whether the receiver is told of a notice. Who was told of a cause is told
// that it is over.
func (r *Receiver) Wants(n *Notice) bool {
	return len(r.Only) == 0 || slices.Contains(r.Only, n.Kind) || n.Kind == Recovered && slices.Contains(r.Only, n.Of)
}

// offer has the notice wait for its turn.
func (r *Receiver) offer(n Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == maxWaiting {
		count(n.Kind, dropped)
		r.Logger.Error("an alert was dropped: too many wait for their receiver", zap.String("to", r.Name), zap.String("kind", string(n.Kind)), zap.String("cause", n.Cause))
		return
	}
	r.waiting = append(r.waiting, n)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Receiver) start() {
	r.wake = make(chan struct{}, 1)
	r.ended = make(chan struct{})
	var running, trying context.Context
	running, r.stop = context.WithCancel(context.Background())
	trying, r.cut = context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		for {
			n, ok := r.next(running)
			if !ok || !r.deliver(running, trying, &n) {
				return
			}
			r.mu.Lock()
			if len(r.waiting) > 0 { // else it was left behind
				r.waiting = slices.Delete(r.waiting, 0, 1)
			}
			r.mu.Unlock()
		}
	}()
}

// end stops the receiver and returns what it did not send. What is being sent has a moment
// to end. A Send that never returns is left behind.
func (r *Receiver) end() []Notice {
	r.stop()
	defer time.AfterFunc(stopGrace, r.cut).Stop()
	select {
	case <-r.ended:
	case <-time.After(stopGrace + time.Second):
	}
	r.cut()
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.waiting
	r.waiting = nil
	return left
}

// next waits for a notice, which it leaves in its place. It returns false when the receiver
// ends.
func (r *Receiver) next(running context.Context) (n Notice, ok bool) {
	for running.Err() == nil {
		r.mu.Lock()
		if ok = len(r.waiting) > 0; ok {
			n = r.waiting[0]
		}
		r.mu.Unlock()
		if ok {
			return n, true
		}
		select {
		case <-r.wake:
		case <-running.Done():
		}
	}
	return n, false
}

// deliver sends a notice, or gives it up. It returns false if the receiver ended before.
func (r *Receiver) deliver(running, trying context.Context, n *Notice) bool {
	giveUp := time.Now().Add(tryFor)
	for try, pause := 1, firstPause; ; try++ {
		err := r.try(trying, n)
		if err == nil {
			count(n.Kind, sent)
			return true
		}
		if running.Err() != nil {
			return false
		}
		failure, _ := errors.AsType[*Failure](err)
		wait := pause/2 + rand.N(pause/2+1)
		if failure != nil {
			wait = min(max(wait, failure.After), 2*maxPause)
		}
		fields := []zap.Field{zap.String("to", r.Name), zap.String("kind", string(n.Kind)), zap.String("cause", n.Cause), zap.Int("try", try), zap.Error(err)}
		if failure != nil && failure.Permanent || time.Now().Add(wait).After(giveUp) {
			count(n.Kind, failed)
			r.Logger.Error("an alert could not be sent and is given up", fields...)
			return true
		}
		if try == 1 {
			r.Logger.Warn("an alert could not be sent and is tried again", fields...)
		}
		select {
		case <-time.After(wait):
		case <-running.Done():
			return false
		}
		pause = min(2*pause, maxPause)
	}
}

// try is Send within its time, and returns an error also if it panicked.
func (r *Receiver) try(trying context.Context, n *Notice) (err error) {
	ctx, cancel := context.WithTimeout(trying, sendTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &Failure{Err: fmt.Errorf("panic: %v", v), Permanent: true}
		}
	}()
	return r.Send(ctx, n)
}
