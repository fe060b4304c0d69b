//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is the requests of a pool, sent over connections that are kept
// alive. Each connection sends its next request when the last was answered.
type load struct {
	pool  *pool
	conns int

	// Again is true if the pool is sent once more whenever its end is reached: to
	// servers that do not look for duplicates.
	again bool

	// Forged is true if the requests are forgeries, which must be refused.
	forged bool

	// Rate is how many requests are due a second, whatever the answers take. Each is
	// sent when it is due, or as soon as a connection is free, and its latency counts
	// from when it was due. All that are due from the end of the warmup on are measured,
	// to the end of the pool. At 0 each connection sends when it can.
	rate float64
}

// loader sends a load to a server and measures the answers.
type loader struct {
	address    string
	tls        *tls.Config // nil: plain
	load       load
	background *load // sends at the same time, and is only counted; nil: nobody

	// Window is how long is measured, after warmup. At 0 the whole pool is sent
	// and measured.
	warmup, window time.Duration

	// Mark is called at the beginning and at the end of what is measured.
	mark func()
}

// outcome is what came of it.
type outcome struct {
	acknowledged []bool          // by request of the pool: answered with 200, unless again
	wrong        int             // answers that are neither 200 nor, to forgeries, refusals
	latencies    []time.Duration // of what was measured, sorted
	beside       int             // answers to the background load in that time
}

// maxWait bounds the wait for one answer, and for the start of a server.
const maxWait = 60 * time.Second

// answered is an answer on its way into an outcome.
type answered struct {
	at, took time.Duration // at: when it came, or, at a rate, when its request was due
	right    bool
}

// sender is one connection of a load, and what came of it.
type sender struct {
	*client
	*load
	next    *atomic.Int64 // request of the load
	answers []answered
	err     error
}

// open opens the connections of a load.
func (l *loader) open(p *load) (all []*sender, err error) {
	next := new(atomic.Int64)
	for range p.conns {
		c, err := dial(l.address, l.tls)
		if err != nil {
			return all, err
		}
		all = append(all, &sender{client: c, load: p, next: next})
	}
	return all, nil
}

// send sends requests until it is told to stop or there are no more.
func (s *sender) send(begin time.Time, stop *atomic.Bool, o *outcome) {
	for !stop.Load() {
		i := int(s.next.Add(1)) - 1
		if i >= s.pool.len() {
			if !s.again {
				return
			}
			i %= s.pool.len()
		}
		sent := time.Now()
		if s.rate > 0 {
			sent = begin.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
			time.Sleep(time.Until(sent))
		}
		status, err := s.do(s.pool.request(i))
		if err != nil {
			s.err = err
			return
		}
		now := time.Now()
		if !s.again {
			o.acknowledged[i] = status == http.StatusOK
		}
		right := status == http.StatusOK
		if s.forged {
			right = status/100 == 4
		}
		at := now
		if s.rate > 0 {
			at = sent
		}
		s.answers = append(s.answers, answered{at.Sub(begin), now.Sub(sent), right})
	}
}

var errNothing = errors.New("nothing was answered in the time that is measured")

func (l *loader) run() (*outcome, error) {
	o := &outcome{acknowledged: make([]bool, l.load.pool.len())}
	senders, err := l.open(&l.load)
	if err == nil && l.background != nil {
		var others []*sender
		others, err = l.open(l.background)
		senders = append(senders, others...)
	}
	defer func() {
		for _, s := range senders {
			_ = s.Close() // all was answered
		}
	}()
	if err != nil {
		return nil, err
	}

	var stop atomic.Bool
	var main, all sync.WaitGroup // the measured load; and the background load with it
	begin := time.Now()
	for _, s := range senders {
		work := func() { s.send(begin, &stop, o) }
		if s.load == &l.load {
			main.Go(work)
		} else {
			all.Go(work)
		}
	}
	done := make(chan struct{})
	go func() { main.Wait(); close(done) }()
	await := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-done:
		}
	}

	var from time.Duration
	if l.window > 0 {
		await(l.warmup)
		from = time.Since(begin)
	}
	l.mark()
	if l.window > 0 && l.load.rate == 0 {
		await(l.window)
	} else {
		<-done
	}
	to := time.Since(begin)
	l.mark()
	stop.Store(true)
	<-done
	all.Wait()

	for _, s := range senders {
		err = errors.Join(err, s.err)
		o.add(s, s.load == &l.load, from, to)
	}
	slices.Sort(o.latencies)
	if len(o.latencies) == 0 {
		err = errors.Join(err, errNothing)
	}
	return o, err
}

// add adds what came of a connection.
func (o *outcome) add(s *sender, measured bool, from, to time.Duration) {
	for _, a := range s.answers {
		if !a.right {
			o.wrong++
		}
		switch {
		case a.at < from || to < a.at:
		case measured:
			o.latencies = append(o.latencies, a.took)
		default:
			o.beside++
		}
	}
}

// accepted returns how many requests were acknowledged.
func (o *outcome) accepted() (n int) {
	for _, ok := range o.acknowledged {
		if ok {
			n++
		}
	}
	return n
}

// quantile returns a latency: the median for 0.5.
func (o *outcome) quantile(q float64) time.Duration {
	return o.latencies[min(len(o.latencies)-1, int(q*float64(len(o.latencies))))]
}
