package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// alertsAbout returns how to get the kinds and texts of the notices about a store.
func alertsAbout(t *testing.T, store string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var told []string
	set := []*alert.Receiver{{Key: store, Logger: zap.NewNop(), Send: func(_ context.Context, n *alert.Notice) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(n.Cause, store) {
			told = append(told, string(n.Kind)+": "+n.Text)
		}
		return nil
	}}}
	alert.Shared.Start(set)
	t.Cleanup(func() { alert.Shared.Stop(set) })
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		all := told
		told = nil
		return all
	}
}

// forgetAlerts has nothing been told of before.
func forgetAlerts(t *testing.T) {
	shared := alert.Shared
	alert.Shared = new(alert.Center)
	t.Cleanup(func() { alert.Shared = shared })
}

// What follows is not parallel: alerts go to the newest config of the process.

func TestRefusingIsAlerted(t *testing.T) {
	forgetAlerts(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStubStore(t)
		h := startedHandler(t, s)
		told := alertsAbout(t, s.key)
		full := queue.ErrFull
		s.accept = func([]queue.Record) ([]bool, error) { return nil, full }
		deliver := func() { _, _ = serveStub(h, stubDelivery(stubComment)) }
		expect := func(want ...string) {
			t.Helper()
			if got := told(); !slices.EqualFunc(got, want, strings.HasPrefix) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		deliver()
		time.Sleep(5*time.Minute - time.Second)
		expect()
		time.Sleep(time.Second)
		expect("refusing: The queue has refused all deliveries for 5m0s, as they cannot be stored: ")
		time.Sleep(7 * time.Minute)
		expect("refusing: The queue has refused all deliveries for 12m0s")
		time.Sleep(3 * time.Hour)
		deliver()
		expect()
		full = nil
		deliver()
		deliver()
		expect("recovered: The queue accepts deliveries again, after 3h12m0s.")
		full = errors.New("for a moment")
		deliver()
		full = nil
		deliver()
		expect()
	})
}

func TestOldestEventIsAlerted(t *testing.T) {
	forgetAlerts(t)
	synctest.Test(t, func(t *testing.T) {
		s := newStubStore(t)
		var told func() []string
		hold := func(stats ...queue.Stats) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.stats = stats
		}
		expect := func(want ...string) {
			t.Helper()
			got := told()
			slices.Sort(got)
			if !slices.EqualFunc(got, want, strings.Contains) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		hold(queue.Stats{Consumer: "crm", Pending: 3, Oldest: time.Now()},
			queue.Stats{Consumer: "bot", Pending: 1, Paused: true, Oldest: time.Now()},
			queue.Stats{Consumer: "idle"})
		startedHandler(t, s)
		told = alertsAbout(t, s.key)
		time.Sleep(10*time.Minute - time.Second)
		expect()
		time.Sleep(time.Minute)
		expect("the consumer bot has waited for 10m0s; 1 wait. The consumer is paused", "the consumer crm has waited for 10m0s; 3 wait. The application")
		time.Sleep(5 * time.Hour)
		expect()
		hold(queue.Stats{Consumer: "crm", Pending: 1, Oldest: time.Now()})
		time.Sleep(time.Minute)
		expect("recovered: No event for the consumer crm has waited")
	})
}

// TestOneGatewayAlertsOfOldestEvent has gateways share a store: the one that has run for the
// longest alerts, and another one goes on where it has ended.
func TestOneGatewayAlertsOfOldestEvent(t *testing.T) {
	forgetAlerts(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		gateway := func(name, alerts string, since time.Duration) queue.Gateway {
			return queue.Gateway{Name: name, Since: began.Add(since), Settings: map[string]string{settingAlerts: alerts}}
		}
		silent, first, last := gateway("silent", "off", -time.Hour), gateway("first", "on", 0), gateway("last", "on", time.Hour)
		s := newSharedStub(t)
		s.this = gateway("this", "on", time.Minute)
		run := func(others ...queue.Gateway) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.others = others
		}
		hold := func(waits time.Duration) {
			s.stubStore.mu.Lock()
			defer s.stubStore.mu.Unlock()
			s.stats = []queue.Stats{{Consumer: "crm", Pending: 3, Oldest: time.Now().Add(-waits)}}
		}
		run(silent, last, first)
		hold(0)
		startedHandler(t, s.stubStore)
		told := alertsAbout(t, s.key)
		sleep := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			if got := told(); !slices.EqualFunc(got, want, strings.Contains) {
				t.Errorf("after %s: told %q, want %q", time.Since(began), got, want)
			}
		}
		sleep(10*time.Minute + 30*time.Second)
		run(silent, last) // perhaps the first one had not looked yet
		sleep(10*time.Second, "oldest: An event for the consumer crm has waited for 11m0s")
		sleep(time.Hour)
		run(silent, last, first) // it was cut off
		sleep(8 * time.Hour)
		run(silent, last) // it has told of what has lasted
		sleep(time.Minute)
		hold(0)
		sleep(time.Minute, "recovered: No event for the consumer crm has waited")
		run(silent, last, first)
		hold(time.Hour)
		sleep(2 * time.Hour)
		hold(-2 * time.Hour) // from then on
		sleep(time.Minute)
		run(silent, last)
		sleep(time.Hour)
		s.this = gateway("this", "off", time.Minute) // as it is before the store knows it
		run(silent)
		hold(time.Hour)
		sleep(time.Minute, "oldest: An event for the consumer crm has waited for 1h0m0s")
	})
}
