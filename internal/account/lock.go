package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

// The lock of Caddy's storage keeps gateways from changing the state at the same time. A
// lease in the state stands beside it, as the lock of files is not perfect:
//
//   - whoever releases it goes on keeping it fresh for up to five seconds, and for ever if
//     another one takes it meanwhile and is killed. So nobody takes it so soon.
//   - two that wait for the lock of a killed process may both get it. So whoever is about
//     to ask Meta leaves its name, waits, and goes on only if that still stands there.
//
// TryLock is not used: that of files never takes over an empty lock file, as a crash can
// leave behind.
type lease struct {
	By    string    `json:"by,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

const (
	lockName = "instagram_accounts"

	// lockTimeout bounds how long the lock is waited for. That is long enough to take
	// over one that is stale, or empty.
	lockTimeout = 5 * time.Second

	// maxWork is how long one gateway works before others may, and maxLease how long
	// others wait for one that says nothing.
	maxWork  = 30 * time.Second
	maxLease = 45 * time.Second

	claimWait    = time.Second
	afterRelease = 6 * time.Second
)

// errBusy is the error for work that another gateway does, or that must wait for it.
var errBusy = errors.New("another gateway, or another config of this one, is looking after the accounts just now: try again in a minute")

// leased reports whether others must wait. A lease that is longer than any is of a clock
// that is wrong.
func (st *state) leased() bool {
	left := time.Until(st.Lease.Until)
	return left > 0 && left <= 2*maxLease
}

// locked calls do while no other gateway, and nothing else in this process, is inside.
func (s store) locked(ctx context.Context, do func() error) (err error) {
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	switch err := s.Lock(wait, lockName); {
	case err != nil && wait.Err() != nil && ctx.Err() == nil:
		return errBusy
	case err != nil:
		return fmt.Errorf("locking what is known of the accounts: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
		defer cancel()
		if failed := s.Unlock(ctx, lockName); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("unlocking what is known of the accounts: %w", failed))
		}
	}()
	if l, ok := s.Storage.(certmagic.LockLeaseRenewer); ok {
		_ = l.RenewLockLease(ctx, lockName, 4*maxLease) // a check takes less
	}
	return do()
}

// update changes the state while no other gateway does, and tells what there is to tell.
func (s *Service) update(ctx context.Context, change func(*state) []alert.Alert) (st *state, err error) {
	err = s.store.locked(ctx, func() error {
		if st, err = s.load(ctx); err != nil {
			return err
		}
		if st.leased() {
			return errBusy
		}
		before := st.encode()
		alerts := change(st)
		if bytes.Equal(before, st.encode()) {
			return nil
		}
		return s.save(ctx, st, released(), alerts)
	})
	return st, err
}

// held is the lease of a gateway that goes on working, and released of one that does not.
func (s *Service) held() lease { return lease{s.id, time.Now().Add(maxLease).UTC()} }

func released() lease { return lease{Until: time.Now().Add(afterRelease).UTC()} }

// save stores a state that was changed, and then tells what there is to tell of it.
func (s *Service) save(ctx context.Context, st *state, l lease, alerts []alert.Alert) error {
	st.Lease = l
	err := s.store.save(ctx, st)
	for _, a := range alerts {
		s.tell(a)
	}
	return err
}

// claim makes sure that this gateway alone goes on. The lock must be held.
func (s *Service) claim(ctx context.Context, st *state) (*state, error) {
	if err := s.save(ctx, st, s.held(), nil); err != nil {
		return st, err
	}
	select {
	case <-ctx.Done():
		return st, ctx.Err()
	case <-time.After(claimWait):
	}
	st, err := s.load(ctx)
	if err == nil && st.Lease.By != s.id {
		err = errBusy
	}
	return st, err
}

// whenFree is update for what cannot wait for the next round.
func (s *Service) whenFree(ctx context.Context, change func(*state) []alert.Alert) error {
	ctx, cancel := context.WithTimeout(ctx, 2*maxLease)
	defer cancel()
	for {
		_, err := s.update(ctx, change)
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(afterRelease):
		}
	}
}
