package account

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// How often an account is checked.
const (
	checkInterval = 6 * time.Hour

	// minInterval is the least time between checks, whatever else suggests one.
	minInterval = 10 * time.Minute
)

// Back-off after failures: the first, and the longest.
const (
	firstBackoff     = time.Minute
	throttledBackoff = 15 * time.Minute
	maxBackoff       = checkInterval

	// fullUsage is the share of a limit from which on nothing more is asked, in percent.
	fullUsage = 90
)

// due reports whether an account is to be checked. With a dead token nothing is asked.
func (r *record) due(now time.Time) bool {
	return r.Token.Dead == "" && !now.Before(r.NextCheck)
}

// checkSoon makes the account due, unless it was checked just now.
func (r *record) checkSoon(now time.Time) {
	if soon := r.LastCheck.Add(minInterval); r.NextCheck.After(soon) {
		r.NextCheck = soon
	}
}

// checker checks one account once.
type checker struct {
	*Service
	a      *Account
	r      *record
	st     *state
	client *graph.Client
	now    time.Time
	usedUp bool // a limit of Meta's is nearly reached

	// complete has the apps that were subscribed to all fields when it was last looked at.
	complete map[string]bool
}

// check asks Meta about an account that is due. The lock must be held.
func (s *Service) check(ctx context.Context, a *Account, st *state) {
	c := &checker{Service: s, a: a, r: st.of(a), st: st, now: time.Now().UTC()}
	if !c.r.due(c.now) || c.now.Before(st.NotBefore) {
		return
	}
	err := c.run(ctx)
	if ctx.Err() != nil {
		return // the next config, or gateway, does it
	}
	c.r.LastCheck = c.now
	c.settle(err)
}

// run asks what there is to ask.
func (c *checker) run(ctx context.Context) error {
	t, err := c.token(ctx, c.a)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // which is no fault of the token
	case errors.Is(err, errNoToken), errors.Is(err, errUnreadable), err != nil && c.r.Failures >= 2:
		c.r.Token = tokenState{Dead: err.Error()}
		return nil
	case err != nil:
		return err
	}
	c.r.use(c.a, t)
	c.client = c.connect(t.Token)
	if err := c.own(ctx); err != nil {
		return err
	}
	if err := c.debug(ctx); err != nil {
		return err
	}
	if err := c.renew(ctx); err != nil {
		return err
	}
	return c.reconcile(ctx)
}

// connect returns a client whose calls are spaced, and end while limits are used up.
func (c *checker) connect(token string) *graph.Client {
	client := c.a.client(graph.Secret(token))
	client.HTTP = &http.Client{Timeout: 30 * time.Second, Transport: &spaced{c.limiter, c.transport, func() error {
		if c.usedUp {
			return errUsedUp
		}
		return nil
	}}}
	client.OnUsage = c.use
	return client
}

// errUsedUp is the error of calls that were not made.
var errUsedUp = errors.New("most of the calls that Meta allows are used up: this waits")

// use obeys what an answer says about limits. That of an app is of all accounts.
func (c *checker) use(u graph.Usage) {
	now := time.Now().UTC()
	if u.App >= fullUsage {
		c.usedUp = true
		c.st.NotBefore = now.Add(throttledBackoff + rand.N(throttledBackoff))
	}
	wait := u.Regain
	if u.Business >= fullUsage {
		wait = max(wait, throttledBackoff)
	}
	if wait > 0 {
		c.usedUp = true
		c.r.NextCheck = now.Add(wait + rand.N(throttledBackoff))
		c.r.NotBefore = c.r.NextCheck
	}
}

// debug learns what Meta tells of a token that can be looked into.
func (c *checker) debug(ctx context.Context) error {
	if !c.a.login().Debugs() {
		return nil
	}
	d, err := c.client.Debug(ctx)
	if err != nil {
		return err
	}
	c.r.Subscription.App = d.App
	t := &c.r.Token
	t.Expires, t.Exact = d.Expires.UTC(), true
	if d.Expires.IsZero() {
		t.Expires = time.Time{}
	}
	if !d.Valid {
		return &graph.Error{Code: deadToken, Message: "the token is not valid, says Meta"}
	}
	t.Owned = true // as far as it tells
	return nil
}

// renew renews a managed token if it is time. If that fails, the old one works on, and it
// is tried again the next day.
func (c *checker) renew(ctx context.Context) error {
	t := &c.r.Token
	if !c.a.renewed() || !t.renewalDue(c.now) || !c.r.Deauthorized.IsZero() {
		return nil
	}
	t.Tried = c.now
	token, expires, err := c.client.Refresh(ctx)
	if isDead(err) {
		return err
	}
	renewed := stored{string(token), c.now, expires.UTC().Truncate(time.Second)}
	if err == nil {
		err = c.vault.replace(ctx, c.a.ID, renewed)
	}
	if err != nil {
		t.Failure = err.Error()
		c.logger.Warn("an access token cannot be renewed: it works until it ends", zap.String("account", c.a.ID), zap.Time("ends", t.Expires), zap.Error(err))
		return nil
	}
	c.r.adopt(c.a, renewed)
	t.Owned, t.Tried = true, c.now
	c.client = c.connect(renewed.Token)
	c.logger.Info("renewed an access token", zap.String("account", c.a.ID), zap.Time("ends", t.Expires))
	return nil
}

// Codes of Meta's errors.
const (
	// appThrottled says that the app has made too many calls, for whichever account. The
	// other codes for too many calls are about an account, a Page or a user.
	appThrottled = 4

	deadToken = 190
)

func isDead(err error) bool {
	refused, ok := errors.AsType[*graph.Error](err)
	return ok && refused.Code == deadToken
}

// settle records how a check ended, and when the next one is.
func (c *checker) settle(err error) {
	r := c.r
	refused, isRefusal := errors.AsType[*graph.Error](err)
	if errors.Is(err, ErrOtherAccount) {
		err = nil // the token tells
	} else if isDead(err) {
		r.Token.Dead = strings.TrimSuffix(refused.Message, ".") + ". " + refused.Advice()
		err = nil
	}
	next := c.now.Add(checkInterval - checkInterval/10 + rand.N(checkInterval/5))
	if err != nil {
		r.Failures++
		backoff := firstBackoff
		if isRefusal && refused.Throttled() {
			backoff = throttledBackoff
		}
		backoff = min(backoff<<min(r.Failures-1, 20), maxBackoff)
		switch {
		case isRefusal && !refused.Passes():
			// Asking sooner than usual does not help.
		case isRefusal && refused.RetryAfter > 0:
			next = c.now.Add(refused.RetryAfter + rand.N(backoff))
		default:
			next = c.now.Add(time.Minute + rand.N(backoff))
		}
		if isRefusal && refused.Throttled() {
			r.NotBefore = next
		}
		if isRefusal && refused.Code == appThrottled && c.st.NotBefore.Before(next) {
			c.st.NotBefore = next
		}
		c.logFailure(err)
		r.Error = err.Error()
	} else {
		r.Failures, r.Error = 0, ""
	}
	if r.NextCheck.Before(next) { // else a limit says later
		r.NextCheck = next
	}
}

// logFailure logs why a check failed, once for each reason.
func (c *checker) logFailure(err error) {
	if c.r.Error == err.Error() {
		return
	}
	fields := []zap.Field{zap.String("account", c.a.ID), zap.Error(err)}
	if refused, ok := errors.AsType[*graph.Error](err); ok {
		fields = append(fields, zap.String("what_to_do", refused.Advice()))
	}
	c.logger.Warn("checking an account failed", fields...)
}

// noteToken turns the alarm about the token on and off.
func (r *record) noteToken(a *Account, now time.Time) []alert.Alert {
	t := &r.Token
	switch {
	case t.Dead != "":
		return r.alarm(a, alert.Token, "dead", fmt.Sprintf("The account %s has no access token that works, so its webhooks end: %s", a.ID, t.Dead))
	case t.ends(now):
		what := "Get a new one by a new login, and put it where the config says."
		if a.renewed() {
			what = "Renewing it has failed so far: " + orUnknown(t.Failure) + ". Get a new one and import it."
		}
		return r.alarm(a, alert.Token, "ends", fmt.Sprintf("The access token of the account %s ends in %d days, at %s, and its webhooks with it. %s",
			a.ID, max(0, int(t.Expires.Sub(now)/day)), t.Expires.Format("2006-01-02 15:04 UTC"), what))
	}
	if !t.Owned {
		return nil // it is not known to be any better than the one before
	}
	return r.alarm(a, alert.Token, "", "")
}

func orUnknown(text string) string {
	if text == "" {
		return "the reason is not known"
	}
	return strings.TrimSuffix(text, ".")
}

// sortedUnion returns all names of two lists.
func sortedUnion(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
