//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"time"
)

// backlog is what many pending events cost.
type backlog struct {
	filled  float64       // MiB resident above an idle gateway, in the process that took the events
	started float64       // the same in one that was started with them, at most
	clean   time.Duration // from start to first delivery, after a stop
	killed  time.Duration // after a kill, with the file in the cache of the system
	crashed time.Duration // the same without
	lost    int
}

// pendingEvents is the backlog that must not matter.
const pendingEvents = 1_000_000

// manyEvents is a backlog, or a past, that may cost something.
const manyEvents = 10_000_000

// backlog measures the memory of a gateway with a large backlog, and how long it
// takes from its start to its first delivery: after it was stopped, and after it
// was killed, with the file in the cache of the system, and without, as after a
// crash of the machine.
func (b *bench) backlog() (*backlog, error) {
	fmt.Printf("\nbacklog: %d events that wait; load %s\n", pendingEvents, loadAverage())
	found, err := b.checkedTargets("queue")
	if err != nil {
		return nil, err
	}
	s, behind, done, err := b.stage(found[0])
	if err != nil {
		return nil, err
	}
	defer func() { done() }()
	r := new(backlog)
	idle, err := s.settledMemory()
	if err != nil {
		return nil, err
	}
	fmt.Printf("  idle: %.0f MiB resident\n", mebibytes(idle.resident))
	note := func(when string, u usage) float64 {
		above := mebibytes(u.resident - idle.resident)
		fmt.Printf("  %s: %.0f MiB resident, %+.0f (its own %.0f, of files %.0f)\n", when,
			mebibytes(u.resident), above, mebibytes(u.anonymous), mebibytes(u.mapped))
		return above
	}

	start := time.Now()
	if err := b.fillWith(s, pendingEvents); err != nil {
		return nil, err
	}
	u, err := s.usage()
	if err != nil {
		return nil, err
	}
	fmt.Printf("  filled in %.0f s, with %.0f MiB resident at its end\n", time.Since(start).Seconds(), mebibytes(u.resident))
	if b.profile != "" {
		if err := s.profile("heap", filepath.Join(b.profile, "backlog-heap.pprof")); err != nil {
			return nil, err
		}
	}
	if u, err = s.settledMemory(); err != nil {
		return nil, err
	}
	r.filled = note("filled", u)
	time.Sleep(longRest)
	if u, err = s.usage(); err != nil {
		return nil, err
	}
	note("after a long rest", u)

	// again starts the gateway once more on the same file.
	again := func(cold bool) (took time.Duration, err error) {
		dir := s.dir
		if cold {
			if err := evict(filepath.Join(dir, "queue.db*")); err != nil {
				return 0, err
			}
		}
		behind.forget()
		next, err := b.start(found[0], dir, behind)
		if err != nil {
			return 0, err
		}
		s, done = next, func() { next.kill(); behind.close() }
		for behind.firstRequest().IsZero() {
			if time.Since(s.started) > maxWait {
				return 0, fmt.Errorf("no delivery within %s", maxWait)
			}
			time.Sleep(time.Millisecond)
		}
		return behind.firstRequest().Sub(s.started), nil
	}

	s.stop()
	if r.clean, err = again(true); err != nil {
		return nil, err
	}
	fmt.Printf("  first delivery after a stop, the file not in the cache: %.2f s\n", r.clean.Seconds())
	if u, err = s.settledMemory(); err != nil {
		return nil, err
	}
	r.started = note("started", u)

	behind.release()
	before := behind.known()
	u, err = s.highestMemory(10 * time.Second)
	if err != nil {
		return nil, err
	}
	behind.hold()
	fmt.Printf("  delivering %d a second\n", (behind.known()-before)/10)
	r.started = max(r.started, note("delivering, at most", u))

	s.kill()
	if r.killed, err = again(false); err != nil {
		return nil, err
	}
	fmt.Printf("  first delivery after a kill, the file in the cache: %.2f s\n", r.killed.Seconds())
	s.kill()
	if r.crashed, err = again(true); err != nil {
		return nil, err
	}
	fmt.Printf("  first delivery after a kill, the file not in the cache: %.2f s\n", r.crashed.Seconds())
	if u, err = s.highestMemory(3 * time.Second); err != nil {
		return nil, err
	}
	r.started = max(r.started, note("started after a kill, at most", u))
	c, err := s.queue()
	if err != nil {
		return nil, err
	}
	r.lost = pendingEvents - c.Pending - c.Delivered - c.Dead
	fmt.Printf("  %d pending, %d delivered, %d lost\n", c.Pending, c.Delivered, r.lost)
	return r, nil
}

// longRest is enough for the garbage collector, which comes every two minutes
// when there is nothing to do, and for what else comes now and then.
const longRest = 3 * time.Minute

// settledMemory returns what the server uses once that no longer falls.
func (s *server) settledMemory() (least usage, err error) {
	if least, err = s.usage(); err != nil {
		return least, err
	}
	for since := time.Now(); time.Since(since) < 5*time.Second; time.Sleep(100 * time.Millisecond) {
		u, err := s.usage()
		if err != nil {
			return least, err
		}
		if u.resident < least.resident-(1<<20) {
			least, since = u, time.Now()
		}
	}
	return s.usage()
}

// highestMemory returns what the server uses at most within a time.
func (s *server) highestMemory(d time.Duration) (highest usage, err error) {
	for since := time.Now(); time.Since(since) < d; time.Sleep(50 * time.Millisecond) {
		u, err := s.usage()
		if err != nil {
			return highest, err
		}
		if u.resident > highest.resident {
			highest = u
		}
	}
	return highest, nil
}
