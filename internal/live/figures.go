package live

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// figures are what is counted and remembered, whether somebody watches or not.
type figures struct {
	began             uint32 // minute
	accepted, refused Minutes

	mu        sync.Mutex
	consumers map[string]*Consumer
	secrets   map[string]*Moment
	accounts  map[string]*Account
}

// These bound what is remembered. There are more names than that only if configs with
// new ones are loaded again and again.
const (
	maxConsumers = 256
	maxSecrets   = 256
	maxAccounts  = 1000
	maxName      = 64 // bytes of a field or an account, which may be anything
)

// keptMinutes is how long counts are kept.
const keptMinutes = 24 * 60

// Minutes counts by the minute, for a day.
type Minutes struct {
	slots [keptMinutes]atomic.Uint64 // the minute since 1970, and the count in the lower half
}

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// Add counts one at a time.
func (m *Minutes) Add(at time.Time) {
	minute := minuteOf(at)
	slot := &m.slots[minute%keptMinutes]
	for {
		old := slot.Load()
		counted := uint64(minute)<<32 | 1
		if uint32(old>>32) == minute {
			counted = old + 1
		}
		if slot.CompareAndSwap(old, counted) {
			return
		}
	}
}

// list returns the counts from one minute to another.
func (m *Minutes) list(from, to uint32) []uint32 {
	counts := make([]uint32, 0, to-from+1)
	for minute := from; minute <= to; minute++ {
		count := m.slots[minute%keptMinutes].Load()
		if uint32(count>>32) != minute {
			count = 0
		}
		counts = append(counts, uint32(count))
	}
	return counts
}

// Moment is when something last happened.
type Moment struct{ micros atomic.Int64 }

// Set says that it happened.
func (m *Moment) Set(at time.Time) { m.micros.Store(at.UnixMicro()) }

// AppSecret returns when the app secret with a name last matched.
func (f *figures) AppSecret(name string) *Moment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return named(&f.secrets, name, maxSecrets)
}

// Consumer is how attempts of a consumer ended.
type Consumer struct {
	delivered, failed Minutes
	last              atomic.Pointer[LastError]
}

// LastError is why an attempt failed, in the words that are logged.
type LastError struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
}

// Consumer returns the consumer with a name.
func (f *figures) Consumer(name string) *Consumer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return named(&f.consumers, name, maxConsumers)
}

// named returns what has a name, which is forgotten at once if there are too many.
func named[T any](all *map[string]*T, name string, most int) *T {
	if *all == nil {
		*all = make(map[string]*T)
	}
	found := (*all)[name]
	if found == nil {
		found = new(T)
		if len(*all) < most {
			(*all)[name] = found
		}
	}
	return found
}

// Delivered counts an event that was delivered.
func (c *Consumer) Delivered(at time.Time) { c.delivered.Add(at) }

// Failed counts an attempt that failed.
func (c *Consumer) Failed(at time.Time, cause string) {
	c.failed.Add(at)
	c.last.Store(&LastError{at.UTC(), cause})
}

// LastError returns why an attempt of a consumer last failed, or nil.
func (f *figures) LastError(consumer string) *LastError {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.consumers[consumer]; c != nil {
		return c.last.Load()
	}
	return nil
}

// Accepted counts a delivery that was answered with 200.
func (f *figures) Accepted(at time.Time) { f.accepted.Add(at) }

// Failed counts a delivery that was answered with something else.
func (f *figures) Failed(at time.Time) { f.refused.Add(at) }

// Account is when an event of an account last came.
type Account struct {
	Account string    `json:"account"`
	Field   string    `json:"field"` // of the event
	Last    time.Time `json:"last"`
}

// Came remembers that an event came.
func (f *figures) Came(at time.Time, account, field string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.accounts[account]
	if a == nil {
		if a = f.newAccount(account); a == nil {
			return
		}
	}
	a.Last = at
	if a.Field != field {
		a.Field = strings.Clone(field[:min(len(field), maxName)])
	}
}

// newAccount returns a new account in place of the one that was quiet for the longest
// time, if there are too many.
func (f *figures) newAccount(account string) *Account {
	if account == "" || len(account) > maxName { // is no id
		return nil
	}
	if f.accounts == nil {
		f.accounts = make(map[string]*Account)
	}
	if len(f.accounts) == maxAccounts {
		quiet := ""
		for id, a := range f.accounts {
			if quiet == "" || a.Last.Before(f.accounts[quiet].Last) {
				quiet = id
			}
		}
		delete(f.accounts, quiet)
	}
	a := &Account{Account: strings.Clone(account)} // it may be a part of a whole delivery
	f.accounts[a.Account] = a
	return a
}

// Counts are figures of the last day by the minute, the oldest first, as far as the
// process has been running.
type Counts struct {
	// End is when the last of the minutes ends, which is the current one.
	End       time.Time                 `json:"end"`
	Accepted  []uint32                  `json:"accepted"` // deliveries that were answered with 200
	Refused   []uint32                  `json:"refused"`  // requests that were answered with something else
	Consumers map[string]ConsumerCounts `json:"consumers"`
}

// ConsumerCounts are those of a consumer.
type ConsumerCounts struct {
	Delivered []uint32 `json:"delivered"` // events
	Failed    []uint32 `json:"failed"`    // attempts
}

// Counts returns the figures.
func (f *figures) Counts(now time.Time) Counts {
	to := max(f.began, minuteOf(now))
	from := max(f.began, to-keptMinutes+1)
	counts := Counts{
		End:       time.Unix(int64(to+1)*60, 0).UTC(),
		Accepted:  f.accepted.list(from, to),
		Refused:   f.refused.list(from, to),
		Consumers: make(map[string]ConsumerCounts),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, c := range f.consumers {
		counts.Consumers[name] = ConsumerCounts{c.delivered.list(from, to), c.failed.list(from, to)}
	}
	return counts
}

// Accounts returns the accounts, those with the newest events first.
func (f *figures) Accounts() []Account {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Account, 0, len(f.accounts))
	for _, a := range f.accounts {
		all = append(all, Account{a.Account, a.Field, a.Last.UTC()})
	}
	slices.SortFunc(all, func(a, b Account) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Account, b.Account)) })
	return all
}

// AppSecret is when an app secret last matched.
type AppSecret struct {
	Name string    `json:"name"`
	Last time.Time `json:"last,omitzero"` // zero: not since the process began
}

// AppSecrets returns the app secrets by name.
func (f *figures) AppSecrets() []AppSecret {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]AppSecret, 0, len(f.secrets))
	for name, last := range f.secrets {
		s := AppSecret{Name: name}
		if micros := last.micros.Load(); micros != 0 {
			s.Last = time.UnixMicro(micros).UTC()
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b AppSecret) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
