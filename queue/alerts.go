package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// alertRefusing tells that the store has refused all deliveries for so long.
func (o *SharedStore) alertRefusing(lasted time.Duration, err error) {
	alert.Shared.Raise(alert.Alert{
		Kind: alert.Refusing, Cause: o.name, Urgent: lasted >= outage.LastWarning,
		Text: fmt.Sprintf("The queue has refused all deliveries for %s, as they cannot be stored: %v. %s. See 'caddy instagram queue status'.",
			lasted, err, outage.Consequence),
		Data: map[string]any{"store": o.name, "seconds": lasted.Seconds()},
	})
}

const (
	// tooOld is how long an event waits before an alert.
	tooOld = 10 * time.Minute

	// oldestInterval is how often it is looked for.
	oldestInterval = time.Minute
)

// watchOldest alerts while the oldest event of a consumer is too old, until ctx ends.
func watchOldest(ctx context.Context, store *SharedStore) {
	ticker := time.NewTicker(oldestInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, oldestInterval)
		all, err := store.Stats(asking)
		cancel()
		if err != nil {
			continue // it says so elsewhere
		}
		for _, stats := range all {
			alert.Shared.Raise(aboutOldest(store, stats))
		}
	}
}

// aboutOldest returns the alert about a consumer whose events wait for too long, or says
// that there is nothing to alert about.
func aboutOldest(store *SharedStore, stats queue.Stats) alert.Alert {
	a := alert.Alert{
		Kind: alert.Oldest, Cause: "consumer " + stats.Consumer + " of " + store.name,
		Data: map[string]any{"store": store.name, "consumer": stats.Consumer, "pending": stats.Pending},
	}
	age := time.Since(stats.Oldest)
	if stats.Oldest.IsZero() || age < tooOld {
		a.Kind, a.Of = alert.Recovered, alert.Oldest
		a.Text = fmt.Sprintf("No event for the consumer %s has waited for longer than %s.", stats.Consumer, tooOld)
		return a
	}
	a.Data["seconds"] = int(age.Seconds())
	a.Text = fmt.Sprintf("An event for the consumer %s has waited for %s; %d wait. ", stats.Consumer, age.Round(time.Minute), stats.Pending)
	if stats.Paused {
		a.Text += "The consumer is paused: let it go on with 'caddy instagram queue resume'."
	} else {
		a.Text += "The application does not take it, or is too slow. See 'caddy instagram queue status'."
	}
	return a
}
