package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

// stateKey is where the state is in Caddy's storage.
const stateKey = "instagram/accounts/state.json"

// stateVersion is the layout of the state. It rises with a change after which an older
// program must leave the state alone.
const stateVersion = 1

// state is what is known of the accounts, across restarts and gateways. It has no
// secrets.
type state struct {
	// Version is that of the layout.
	Version int `json:"version,omitempty"`

	// NotBefore is when Meta may be asked again, after the calls of the app were used up,
	// or most of them.
	NotBefore time.Time          `json:"not_before,omitzero"`
	Lease     lease              `json:"lease,omitzero"`
	Accounts  map[string]*record `json:"accounts"`
}

// record is what is known of an account.
type record struct {
	Config string    `json:"config,omitempty"` // hash
	Access string    `json:"access,omitempty"` // hash of the options that a token may depend on
	Since  time.Time `json:"since"`            // when it was first looked after
	Seen   time.Time `json:"seen,omitzero"`    // the last day on which a config had it

	LastEvent time.Time `json:"last_event,omitzero"`
	Gaps      gaps      `json:"gaps,omitempty"`

	LastCheck time.Time `json:"last_check,omitzero"`
	NextCheck time.Time `json:"next_check,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"` // when Meta may be asked again
	Failures  int       `json:"failures,omitempty"`  // of checks in a row
	Error     string    `json:"error,omitempty"`     // of the last check

	Token        tokenState   `json:"token,omitzero"`
	Subscription subscription `json:"subscription,omitzero"`

	// Other ids of the account: that of a Page's Instagram account, and the one that
	// the app alone knows. LinkError is why the first could not be learned at the last check.
	Linked    string `json:"linked,omitempty"`
	LinkError string `json:"link_error,omitempty"`
	Scoped    string `json:"scoped,omitempty"`

	// Deauthorized is when the owner took the app's rights away; zero once there is
	// a new token. Revoked is the fingerprint of the one before.
	Deauthorized time.Time `json:"deauthorized,omitzero"`
	Revoked      string    `json:"revoked,omitempty"`

	// Alarms has the reason of each alarm that is on, by its kind, and Told when it was
	// last told.
	Alarms map[alert.Kind]string    `json:"alarms,omitempty"`
	Told   map[alert.Kind]time.Time `json:"told,omitempty"`
}

// of returns the record of an account.
func (st *state) of(a *Account) *record {
	r := st.Accounts[a.ID]
	if r == nil {
		r = &record{Since: time.Now().UTC()}
		st.Accounts[a.ID] = r
	}
	return r
}

// maxUnseen is how long the record of an account is kept that no config has any more.
const maxUnseen = 30 * day

// tidy notes which accounts a config has, and forgets those that none has had for long.
func (st *state) tidy(accounts []*Account, now time.Time) {
	today := now.Truncate(day)
	for _, a := range accounts {
		st.of(a).Seen = today
	}
	for id, r := range st.Accounts {
		if r.Seen.IsZero() {
			r.Seen = today
		}
		if today.Sub(r.Seen) > maxUnseen {
			delete(st.Accounts, id)
		}
	}
}

// alarm turns the alarm of a kind on, off if there is no reason, or to another reason. It
// returns what there is to tell: an alarm that stays on is told of every day, and another
// reason an hour after the last at the earliest. It is turned to that only then, whichever
// gateway looks.
func (r *record) alarm(a *Account, kind alert.Kind, reason, text string) []alert.Alert {
	now := time.Now().UTC()
	on, since := r.Alarms[kind], now.Sub(r.Told[kind])
	if reason == on && (on == "" || since < day) || reason != "" && on != "" && reason != on && since < time.Hour {
		return nil
	}
	data := map[string]any{"account": a.ID, "login": string(a.login()), "reason": reason}
	if reason == "" {
		data["reason"] = r.Alarms[kind]
		delete(r.Alarms, kind)
		delete(r.Told, kind)
		return []alert.Alert{{Kind: alert.Recovered, Of: kind, Cause: a.ID, Data: data,
			Text: fmt.Sprintf("The account %s is well again: %s.", a.ID, over[kind])}}
	}
	if r.Alarms == nil {
		r.Alarms = make(map[alert.Kind]string)
	}
	if r.Told == nil { // an older program kept none
		r.Told = make(map[alert.Kind]time.Time)
	}
	r.Alarms[kind], r.Told[kind] = reason, now
	return []alert.Alert{{Kind: kind, Cause: a.ID, Reason: reason, Text: text, Data: data}}
}

// over says what it means that an alarm is over.
var over = map[alert.Kind]string{
	alert.Token:        "its access token works",
	alert.Subscription: "it is subscribed to all fields",
	alert.Silence:      "events come",
}

// store keeps the state in Caddy's storage.
type store struct{ certmagic.Storage }

// storageTimeout bounds what is done with the storage after the service was told to stop.
const storageTimeout = 10 * time.Second

// errDamaged is wrapped by the error for a state that cannot be read.
var errDamaged = errors.New("what was known of the accounts cannot be read")

// errNewer is wrapped by the error for a state that a newer program has written.
var errNewer = errors.New("a newer version of this program has written what is known of the accounts: run that, or a newer one")

func newState() *state { return &state{Version: stateVersion, Accounts: make(map[string]*record)} }

// load returns the state. It needs no lock.
func (s store) load(ctx context.Context) (*state, error) {
	st := newState()
	data, err := s.Load(ctx, stateKey)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading what is known of the accounts: %w", err)
	}
	var layout struct{ Version int } // the rest may be of other types
	if json.Unmarshal(data, &layout) == nil && layout.Version > stateVersion {
		return nil, fmt.Errorf("%w (%s has version %d, this program knows %d)", errNewer, stateKey, layout.Version, stateVersion)
	}
	if err := json.Unmarshal(data, st); err != nil || st.Accounts == nil {
		return newState(), errDamaged
	}
	st.Version = stateVersion
	for id, r := range st.Accounts {
		if r == nil {
			delete(st.Accounts, id)
		}
	}
	return st, nil
}

// save stores the state. The lock must be held.
func (s store) save(ctx context.Context, st *state) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	if err := s.Store(ctx, stateKey, st.encode()); err != nil {
		return fmt.Errorf("storing what is known of the accounts: %w", err)
	}
	return nil
}

func (st *state) encode() []byte {
	data, err := json.Marshal(st)
	if err != nil {
		panic(err) // it has only texts, numbers and times of this century
	}
	return data
}
