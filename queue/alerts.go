package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

	// oldestInterval is how often such an event is looked for.
	oldestInterval = time.Minute

	// turnInterval is how often a gateway looks whether it is the one that alerts.
	turnInterval = 10 * time.Second
)

// watchOldest alerts while the oldest event of a consumer is too old, until ctx ends. Of the
// gateways that share a store one alerts, and the others follow, to go on once it has ended.
func watchOldest(ctx context.Context, store *SharedStore) {
	ticker := time.NewTicker(turnInterval)
	defer ticker.Stop()
	w := oldestWatch{store: store}
	for {
		select {
		case <-ticker.C:
			w.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// oldestWatch looks for events that are too old.
type oldestWatch struct {
	store  *SharedStore
	alerts bool      // it is this gateway that alerts
	looked time.Time // at the events
}

// look does so each minute, and as soon as it is this gateway that alerts. What fails says so
// elsewhere.
func (w *oldestWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, oldestInterval)
	defer cancel()
	before := w.alerts
	var err error
	if w.alerts, err = w.store.alertsOldest(ctx); err != nil || w.alerts == before && time.Since(w.looked) < oldestInterval {
		return
	}
	all, err := w.store.Stats(ctx)
	if err != nil {
		return
	}
	w.looked = time.Now()
	tell := alert.Shared.Follow
	if w.alerts {
		tell = alert.Shared.Raise
	}
	for _, stats := range all {
		tell(aboutOldest(w.store, stats))
	}
}

// settingAlerts is the setting of a gateway that says whether it alerts of waiting events.
const settingAlerts = "alert oldest"

// alertsOldest reports whether it is this gateway that alerts of waiting events: of those that
// have somebody to tell, the one that has run for the longest.
func (o *SharedStore) alertsOldest(ctx context.Context) (bool, error) {
	sharer, ok := o.Store.(queue.Sharer)
	if !ok {
		return true, nil
	}
	all, _, err := sharer.Gateways(ctx)
	all = slices.DeleteFunc(all, func(g queue.Gateway) bool { return g.Settings[settingAlerts] != "on" })
	if err != nil || len(all) == 0 { // none: the session of this one may just have ended
		return err == nil, err
	}
	return slices.MinFunc(all, func(a, b queue.Gateway) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Name, b.Name))
	}).This, nil
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
