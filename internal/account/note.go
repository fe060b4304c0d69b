package account

import (
	"bytes"
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// note compares what is known with the config, the events that came, and the clock. It
// asks Meta nothing.
func (s *Service) note(ctx context.Context, st *state, recovered, last bool) (alerts []alert.Alert) {
	now := time.Now().UTC()
	came := make(map[string]time.Time)
	for _, a := range s.feed.Accounts() {
		came[a.Account] = a.Last
	}
	st.tidy(s.accounts, now)
	st.NotBefore = notTooFar(st.NotBefore, now)
	for _, a := range s.accounts {
		r := st.of(a)
		r.setClock(a, now)
		s.meet(a, r, now)
		for _, id := range []string{a.ID, r.Linked} {
			if at, found := came[id]; found {
				r.came(a, at, last)
			}
		}
		if recovered {
			r.checkSoon(now)
		}
		if r.Token.Dead != "" {
			s.revive(ctx, a, r, now)
		}
		if !last {
			alerts = append(alerts, s.noteAlarms(a, r)...)
		}
	}
	return alerts
}

// meet makes an account due whose config changed, and every one after the start of the
// process, unless it was checked just now.
func (s *Service) meet(a *Account, r *record, now time.Time) {
	if s.met {
		return
	}
	if hash := a.hash(); r.Config != hash {
		r.Config, r.NextCheck = hash, now
	}
	if hash := a.access().hash(); r.Access != hash {
		r.Access = hash
		if r.Token.Dead != "" {
			r.Token.Fingerprint = "" // it is tried once more
		}
	}
	if s.restarted {
		r.checkSoon(now)
	}
}

// revive looks whether there is another token in place of a dead one.
func (s *Service) revive(ctx context.Context, a *Account, r *record, now time.Time) {
	if t, err := s.token(ctx, a); err == nil && fingerprint(t.Token) != r.Token.Fingerprint {
		r.use(a, t)
		r.NextCheck = now
	}
}

// noteAlarms turns alarms on and off.
func (s *Service) noteAlarms(a *Account, r *record) []alert.Alert {
	now := time.Now().UTC()
	alerts := slices.Concat(r.noteToken(a, now), r.noteSubscription(a))
	// With Facebook Login events come under the id of the account that the Page is linked to.
	blind := a.login() == graph.FacebookLogin && r.Linked == "" && r.LastEvent.IsZero()
	if !blind && !s.refusing() && now.Sub(s.started) >= silenceGrace {
		alerts = append(alerts, r.noteSilence(a, now)...)
	}
	return alerts
}

// remember stores what came since the last round.
func (s *Service) remember() {
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	st, err := s.load(ctx)
	if err != nil {
		return
	}
	note := func(st *state) []alert.Alert { return s.note(ctx, st, false, true) }
	before := st.encode()
	if note(st); !bytes.Equal(before, st.encode()) {
		_, err = s.update(ctx, note)
	}
	if err != nil {
		s.logger.Warn("when the last events of accounts came is not remembered", zap.Error(err))
	}
}
