package account

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

const (
	// inquiryInterval is the least time between checks of an account that somebody asks for.
	inquiryInterval = time.Minute

	// inquiryTimeout bounds how long the answer is waited for. The checks go on.
	inquiryTimeout = 10 * time.Minute
)

// inquiry is a check of all accounts that somebody asked for.
type inquiry struct {
	done chan struct{} // closed at the end
	err  error
}

var (
	errReloaded      = errors.New("the config was loaded anew, or Caddy ends: ask again")
	errStillChecking = errors.New("the accounts are still being looked at: ask later without a check")
)

// Check has all accounts looked at now, and returns when that is done. Who asks while this is
// under way waits for the same. An account is left out that was looked at within the last
// minute, whose token is dead, or about which Meta may not be asked yet.
func (s *Service) Check(ctx context.Context) error {
	q, err := s.inquire()
	if err != nil {
		return err
	}
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inquire returns the inquiry that is under way, or a new one.
func (s *Service) inquire() (*inquiry, error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	if s.ctx.Err() != nil {
		return nil, errReloaded
	}
	if s.inquiry != nil {
		return s.inquiry, nil
	}
	q := &inquiry{done: make(chan struct{})}
	s.inquiry = q
	s.done.Go(func() {
		q.err = s.checkAll()
		s.asking.Lock()
		s.inquiry = nil
		s.asking.Unlock()
		close(q.done)
	})
	return q, nil
}

// checkAll makes the accounts due, and waits until none is any more, whichever gateway does
// the work.
func (s *Service) checkAll() error {
	ctx, cancel := context.WithTimeout(s.ctx, inquiryTimeout)
	defer cancel()
	err := s.whenFree(ctx, func(st *state) []alert.Alert {
		now := time.Now().UTC()
		for _, a := range s.accounts {
			st.of(a).checkNow(now)
		}
		return nil
	})
	if err == nil {
		s.hurry()
	}
	for tick := time.Tick(time.Second); err == nil; {
		var st *state
		if st, err = s.load(ctx); err == nil && s.due(st) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-tick:
		}
	}
	switch {
	case s.ctx.Err() != nil:
		return errReloaded
	case ctx.Err() != nil:
		return errStillChecking
	}
	return err
}

// checkNow makes the account due, unless it was checked a moment ago or a limit of Meta's is
// used up.
func (r *record) checkNow(now time.Time) {
	if now.Sub(r.LastCheck) >= inquiryInterval && !now.Before(r.NotBefore) && now.Before(r.NextCheck) {
		r.NextCheck = now
	}
}
