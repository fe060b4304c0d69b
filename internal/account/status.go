package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// Status is how an account is doing, for people and programs.
type Status struct {
	Account string `json:"account"`
	Login   string `json:"login"`

	Token TokenStatus `json:"token"`

	// Reconcile is the mode, and Subscription complete, missing, flapping or uncertain;
	// it is empty before the first check, and if nothing is wanted.
	Reconcile    string   `json:"reconcile"`
	Fields       []string `json:"fields,omitempty"`
	Subscription string   `json:"subscription,omitempty"`
	Missing      []string `json:"missing,omitempty"`
	Repairs      uint64   `json:"repairs"`

	LastEvent    time.Time `json:"last_event,omitzero"`
	Silent       bool      `json:"silent"`
	SilentAfter  float64   `json:"silent_after"` // seconds without an event
	LastCheck    time.Time `json:"last_check,omitzero"`
	NextCheck    time.Time `json:"next_check,omitzero"`
	Deauthorized time.Time `json:"deauthorized,omitzero"`

	// ToDo says what to do; it is empty if all is well.
	ToDo string `json:"to_do,omitempty"`
}

// TokenStatus is what is known of an access token. It is not the token.
type TokenStatus struct {
	// State is valid, ends (within ten days), dead, or unknown before its first check.
	State   string `json:"state"`
	Managed bool   `json:"managed"`

	// Expires is when it ends; zero if it never does, or it is not known. AtLatest is
	// set if Meta has not said so.
	Expires  time.Time `json:"expires,omitzero"`
	AtLatest bool      `json:"at_latest,omitempty"`
}

// The states of a token.
const (
	tokenValid   = "valid"
	tokenEnds    = "ends"
	tokenDead    = "dead"
	tokenUnknown = "unknown"
)

// Statuses returns how the accounts are doing, in the order of the config.
func (s *Service) Statuses(ctx context.Context) ([]Status, error) {
	st, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	came, now := s.feed.Accounts(), time.Now()
	all := make([]Status, 0, len(s.accounts))
	for _, a := range s.accounts {
		r := st.of(a)
		last := r.LastEvent
		for _, c := range came {
			if (c.Account == a.ID || c.Account == r.Linked) && c.Last.After(last) {
				last = c.Last
			}
		}
		sub := &r.Subscription
		all = append(all, Status{
			Account: a.ID, Login: string(a.login()), Token: r.tokenStatus(a, now),
			Reconcile: a.mode(), Fields: a.Fields, Subscription: sub.State, Missing: sub.Missing, Repairs: sub.Total,
			LastEvent: last, Silent: r.Alarms[alert.Silence] != "", SilentAfter: r.silenceLimit(a).Seconds(),
			LastCheck: r.LastCheck, NextCheck: r.next(st), Deauthorized: r.Deauthorized, ToDo: r.toDo(a, now),
		})
	}
	return all, nil
}

// next returns when the account is checked next; zero: not until its token changes.
func (r *record) next(st *state) time.Time {
	if r.Token.Dead != "" {
		return time.Time{}
	}
	return slices.MaxFunc([]time.Time{r.NextCheck, st.NotBefore}, time.Time.Compare)
}

func (r *record) tokenStatus(a *Account, now time.Time) TokenStatus {
	t := TokenStatus{State: tokenValid, Managed: a.managed(), Expires: r.Token.Expires, AtLatest: !r.Token.Exact && !r.Token.Expires.IsZero()}
	switch {
	case r.Token.Dead != "":
		t.State = tokenDead
	case r.Token.ends(now):
		t.State = tokenEnds
	case !r.Token.Owned: // it was not checked yet
		t.State = tokenUnknown
	}
	return t
}

// toDo says what to do, the most urgent first.
func (r *record) toDo(a *Account, now time.Time) string {
	sub := &r.Subscription
	switch {
	case r.Token.Dead != "":
		return r.Token.Dead
	case !r.Deauthorized.IsZero():
		return "the owner took the app's rights away: get a new token by a new login"
	case sub.State == Missing || sub.State == Flapping:
		text := "not subscribed to " + option.And(sub.Missing)
		if sub.Because != "" {
			return text + ": " + sub.Because
		}
		return text + ": see 'caddy instagram subscriptions set'"
	case sub.State == Uncertain:
		return sub.Because
	case r.Token.ends(now) && a.renewed():
		return "the token ends soon, and renewing it fails: " + orUnknown(r.Token.Failure)
	case r.Token.ends(now):
		return "the token ends soon: get a new one by a new login"
	case r.Error != "":
		return fmt.Sprintf("checking failed %d times: %s", r.Failures, r.Error)
	case r.Alarms[alert.Silence] != "":
		return "nothing comes: see 'caddy instagram check'"
	}
	return ""
}
