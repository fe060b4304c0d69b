package account

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

// afterStorageFailure keeps a storage that fails from making calls come again and again,
// as it remembers none.
const afterStorageFailure = 10 * time.Minute

// busyTooLong is how long another gateway may be at work before that is odd.
const busyTooLong = 15 * time.Minute

func (s *Service) run(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	var busy time.Time
	for {
		select {
		case <-ctx.Done():
			s.remember()
			return
		case <-timer.C:
		case <-s.wake:
		}
		more, err := s.round(ctx)
		next := s.every
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errBusy):
			next = afterRelease + rand.N(afterRelease)
			if busy.IsZero() {
				busy = time.Now()
			} else if time.Since(busy) > busyTooLong {
				s.logger.Warn("another gateway has been looking after the accounts for long, or its lock in Caddy's storage was left behind",
					zap.Time("since", busy), zap.String("lock", lockName))
				busy = time.Now()
			}
			timer.Reset(next)
			continue
		case errors.Is(err, errNewer):
			s.logger.Error("accounts are not looked after", zap.Error(err), zap.Duration("again_in", afterStorageFailure))
			next = afterStorageFailure
		case err != nil:
			s.logger.Error("accounts are not looked after: Caddy's storage fails", zap.Error(err), zap.Duration("again_in", afterStorageFailure))
			next = afterStorageFailure
		case more:
			next = afterRelease
		}
		busy = time.Time{}
		timer.Reset(next)
	}
}

// round does what is to be done just now. It reports whether there is more.
func (s *Service) round(ctx context.Context) (more bool, err error) {
	st, err := s.load(ctx)
	if err != nil {
		return false, err
	}
	refusing := s.refusing()
	recovered := s.refused && !refusing
	deauthorized, err := s.store.deauthorizations(ctx)
	if err != nil {
		return false, err
	}
	note := func(st *state) []alert.Alert {
		alerts := s.note(ctx, st, recovered, false)
		st.deauthorize(deauthorized)
		return alerts
	}
	before := st.encode()
	note(st)
	switch changed := !bytes.Equal(before, st.encode()); {
	case !changed && s.due(st) == nil:
	case st.leased():
		return false, errBusy
	case s.due(st) == nil:
		st, err = s.update(ctx, note)
	default:
		st, err = s.work(ctx, note)
	}
	if err != nil {
		return false, err
	}
	s.refused, s.met = refusing, true
	s.known.Store(st)
	s.store.dropNoted(ctx, deauthorized, st)
	return s.due(st) != nil, nil
}

// due returns an account that is to be checked now, or nil.
func (s *Service) due(st *state) *Account {
	now := time.Now()
	i := slices.IndexFunc(s.accounts, func(a *Account) bool { return st.of(a).due(now) && !now.Before(st.NotBefore) })
	if i < 0 {
		return nil
	}
	return s.accounts[i]
}

// work checks the accounts that are due, as many as there is time for.
func (s *Service) work(ctx context.Context, note func(*state) []alert.Alert) (st *state, err error) {
	err = s.store.locked(ctx, func() error {
		if st, err = s.load(ctx); err != nil {
			return err
		}
		if st.leased() {
			return errBusy
		}
		if st, err = s.claim(ctx, st); err != nil {
			return err
		}
		alerts := note(st)
		for began := time.Now(); time.Since(began) < maxWork; alerts = nil {
			a := s.due(st)
			if a == nil || ctx.Err() != nil {
				break
			}
			s.check(ctx, a, st)
			alerts = append(alerts, s.noteAlarms(a, st.of(a))...)
			if err := s.save(ctx, st, s.held(), alerts); err != nil {
				return err
			}
		}
		return s.save(ctx, st, released(), alerts)
	})
	return st, err
}

// load returns the state. What was known is lost if it is damaged, and learned again.
func (s *Service) load(ctx context.Context) (*state, error) {
	st, err := s.store.load(ctx)
	if errors.Is(err, errDamaged) {
		s.logger.Warn(err.Error() + ": it is learned again")
		return st, nil
	}
	return st, err
}
