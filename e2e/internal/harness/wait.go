package harness

import (
	"testing"
	"time"
)

// Timeout bounds every wait. Nothing comes near it unless it hangs: a Caddy with
// the race detector is slow on a busy machine.
const Timeout = 90 * time.Second

// Wait returns when done reports true, and fails the test if that takes too long.
func Wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !poll(done) {
		t.Fatalf("%s: not within %s", what, Timeout)
	}
}

// WaitClosed returns when a channel is closed.
func WaitClosed(t testing.TB, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(Timeout):
		t.Fatalf("%s: not within %s", what, Timeout)
	}
}

// poll reports whether done became true in time.
func poll(done func() bool) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(Timeout); !done(); <-ticker.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
