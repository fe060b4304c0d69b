package harness

import (
	"fmt"
	"testing"
)

// WaitHeld returns when the application holds n requests.
func (a *App) WaitHeld(t testing.TB, n int) {
	t.Helper()
	Wait(t, fmt.Sprintf("the application holds %d requests", n), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.holding >= n
	})
}

// WaitAttempts returns all attempts that have ended, in the order of their ends,
// once these are at least n.
func (a *App) WaitAttempts(t testing.TB, n int) (ended []Attempt) {
	t.Helper()
	Wait(t, fmt.Sprintf("%d attempts", n), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		ended = a.ended
		return len(ended) >= n
	})
	return ended
}

// WaitIdle waits until no attempt is under way, and returns all.
func (a *App) WaitIdle(t testing.TB) (ended []Attempt) {
	t.Helper()
	Wait(t, "no attempt is under way", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		ended = a.ended
		return len(ended) == a.begun
	})
	return ended
}

// WaitDelivered waits until the application has taken n different events, and
// returns all attempts until then.
func (a *App) WaitDelivered(t testing.TB, n int) (attempts []Attempt) {
	t.Helper()
	taken := make(map[string]bool)
	for i := 0; len(taken) < n; i++ {
		attempts = a.WaitAttempts(t, i+1)
		if attempts[i].Delivered() {
			taken[attempts[i].ID()] = true
		}
	}
	return attempts
}

// Received returns how often each body, by its SHA-256, reached the application.
func (a *App) Received(t testing.TB) map[string]int {
	t.Helper()
	received := make(map[string]int)
	for _, attempt := range a.WaitIdle(t) {
		received[SHA256(attempt.Body)]++
	}
	return received
}
