package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// subscription is what is known of the app's subscription to an account.
type subscription struct {
	State   string   `json:"state,omitempty"`
	Missing []string `json:"missing,omitempty"`

	// Because is why nothing is repaired, or why it is not known what holds.
	Because string `json:"because,omitempty"`

	App     string      `json:"app,omitempty"`     // ours, as the token or a repair told
	Only    string      `json:"only,omitempty"`    // the app that was the only one at first
	Repairs []time.Time `json:"repairs,omitempty"` // of the last day
	Total   uint64      `json:"total,omitempty"`   // of repairs
}

// The states of a subscription. It has none before it was looked at.
const (
	Complete  = "complete"
	Missing   = "missing"
	Flapping  = "flapping"  // it is lost again and again
	Uncertain = "uncertain" // it is not known what holds
)

// maxRepairs is how often a day a subscription is repaired.
const maxRepairs = 3

// set records a state, and nothing of the one before.
func (s *subscription) set(state string, missing []string, because string) {
	s.State, s.Missing, s.Because = state, missing, because
}

// reconcile compares the subscription with what is wanted, and repairs it if that is
// wanted too.
func (c *checker) reconcile(ctx context.Context) error {
	sub := &c.r.Subscription
	if c.a.mode() == Off {
		sub.set("", nil, "")
		return nil
	}
	have, kept, err := c.subscribed(ctx)
	if err != nil {
		return c.uncertain(err)
	}
	missing := c.a.missing(have)
	if len(missing) == 0 {
		sub.set(Complete, nil, "")
		return nil
	}
	if c.a.mode() == Report {
		sub.set(Missing, missing, "")
		return nil
	}
	because, err := c.reservation(ctx)
	if err != nil {
		sub.set(Missing, missing, "whether the app's callback is ours cannot be found out")
		return err
	}
	sub.Repairs = slices.DeleteFunc(sub.Repairs, func(at time.Time) bool { return c.now.Sub(at) >= day })
	switch {
	case because != "":
		sub.set(Missing, missing, because)
		return nil
	case len(sub.Repairs) >= maxRepairs:
		sub.set(Flapping, missing, fmt.Sprintf("it was repaired %d times within a day: something ends it each time", maxRepairs))
		return nil
	}
	return c.repair(ctx, kept, missing)
}

// repair subscribes to what is missing besides what is to be kept, and reads back. A repair that
// cannot be remembered is none: it would be made again and again.
func (c *checker) repair(ctx context.Context, kept, missing []string) error {
	sub := &c.r.Subscription
	before := *sub
	sub.Repairs = append(sub.Repairs, c.now)
	sub.Total++
	if err := c.save(ctx, c.st, c.held(), nil); err != nil {
		*sub = before
		sub.set(Missing, missing, "a repair cannot be remembered: Caddy's storage fails")
		return err
	}
	c.logger.Warn("subscribing an account again", zap.String("account", c.a.ID), zap.Strings("missing", missing))
	failure := c.client.Subscribe(ctx, c.a.ID, sortedUnion(kept, c.a.Fields))
	if failure != nil && !errors.Is(failure, graph.ErrUncertain) {
		sub.set(Missing, missing, "repairing it failed: "+failure.Error())
		return failure
	}
	have, _, err := c.subscribed(ctx)
	if err != nil {
		return c.uncertain(errors.Join(failure, err))
	}
	switch missing = c.a.missing(have); {
	case len(missing) == 0:
		sub.set(Complete, nil, "")
		c.logger.Info("an account is subscribed again", zap.String("account", c.a.ID), zap.Strings("fields", have))
		return nil
	case failure != nil:
		sub.set(Missing, missing, "repairing it failed: "+failure.Error())
	default:
		sub.set(Missing, missing, "Meta said that repairing it succeeded, and did nothing")
	}
	return failure
}

// uncertain records that it is not known what holds. An account that does not answer once
// is asked again before anybody is told.
func (c *checker) uncertain(err error) error {
	if c.r.Failures >= 2 || errors.Is(err, errWhichApp) {
		c.r.Subscription.set(Uncertain, c.r.Subscription.Missing, err.Error())
	}
	if errors.Is(err, errWhichApp) {
		return nil // asking again does not help
	}
	return err
}

var errWhichApp = errors.New("several apps are subscribed to the account: say with 'app <id>' which is yours")

// subscribed returns the fields that the app has, and those that a repair must keep: the same,
// or those of every app that may be ours.
func (c *checker) subscribed(ctx context.Context) (have, kept []string, err error) {
	all, err := c.client.Subscriptions(ctx, c.a.ID)
	if err != nil {
		return nil, nil, err
	}
	c.recognize(all)
	known := cmp.Or(c.a.AppID, c.r.Subscription.App)
	if known == "" && len(all) > 1 {
		return nil, nil, errWhichApp
	}
	app := cmp.Or(known, c.r.Subscription.Only)
	for _, s := range all {
		if s.App == app {
			have = append(have, s.Fields...)
		}
		if s.App == app || known == "" {
			kept = append(kept, s.Fields...)
		}
	}
	slices.Sort(have)
	return have, kept, nil
}

// recognize learns which app is ours, where neither the config nor the token tells: the one
// that a repair has just completed. Until then it is taken to be the first that was the only
// one. Another one that is alone later has taken its place.
func (c *checker) recognize(all []graph.Subscription) {
	sub := &c.r.Subscription
	if len(all) == 1 && sub.Only == "" {
		sub.Only = all[0].App
	}
	complete := make(map[string]bool)
	var completed []string
	for _, s := range all {
		complete[s.App] = len(c.a.missing(s.Fields)) == 0
		if complete[s.App] && !c.complete[s.App] {
			completed = append(completed, s.App)
		}
	}
	if c.complete != nil && len(completed) == 1 && sub.App == "" {
		sub.App = completed[0]
	}
	c.complete = complete
}

// reservation returns why a subscription is not to be repaired now, or "".
func (c *checker) reservation(ctx context.Context) (string, error) {
	switch {
	case !c.r.Deauthorized.IsZero():
		return "the owner took the app's rights away at " + c.r.Deauthorized.Format("2006-01-02 15:04 UTC") + ": get a new token by a new login", nil
	case c.refusing():
		return "this gateway refuses deliveries: they would only be lost", nil
	case c.a.Callback == "":
		return "", nil
	}
	app := *c.client
	app.Login, app.Token = graph.FacebookLogin, graph.AppToken(c.a.AppID, c.a.appSecret)
	callbacks, err := app.Callbacks(ctx, c.a.AppID)
	if err != nil {
		return "", fmt.Errorf("asking for the app's callback: %s", err) // says nothing of the account's token
	}
	object := "instagram"
	if c.a.login() == graph.FacebookLogin {
		object = "page"
	}
	for _, b := range callbacks {
		if b.Object == object && b.URL != c.a.Callback {
			host := "elsewhere"
			if u, err := url.Parse(b.URL); err == nil {
				host = "at " + u.Host
			}
			return "the app's callback is another one, " + host + ": what it subscribes to would not come here", nil
		}
	}
	return "", nil
}

// noteSubscription turns the alarm about the subscription on and off.
func (r *record) noteSubscription(a *Account) []alert.Alert {
	sub := &r.Subscription
	because := ""
	if sub.Because != "" {
		because = " (" + sub.Because + ")"
	}
	switch sub.State {
	case Missing, Flapping:
		return r.alarm(a, alert.Subscription, sub.State+" "+strings.Join(sub.Missing, ","), fmt.Sprintf(
			"Your app is not subscribed to %s of the account %s%s. Such events do not come, and Meta never sends them later. "+
				"Subscribe it with 'caddy instagram subscriptions set'.", option.And(sub.Missing), a.ID, because))
	case Uncertain:
		return r.alarm(a, alert.Subscription, Uncertain, fmt.Sprintf("It is not known what your app is subscribed to of the account %s%s.", a.ID, because))
	case Complete, "":
		return r.alarm(a, alert.Subscription, "", "")
	}
	return nil
}
