package check

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// staleAfter is how long the oldest event may wait before there is a warning:
// longer than an application takes to restart.
const staleAfter = 10 * time.Minute

var queueChecks = []string{QueueAccepting, QueueDelivering, QueueDead}

// queues asks the running Caddy about its queues.
func (r *run) queues() {
	switch {
	case !r.setup.hasQueue:
		r.skip("the config has no instagram_queue", queueChecks...)
		return
	case r.setup.adminOff:
		r.skip("the config says 'admin off', so a running Caddy cannot be asked about its queue; watch its metrics, and use 'caddy instagram queue' with --file while it is stopped", queueChecks...)
		return
	case r.Admin == nil:
		r.skip("the running Caddy is not to be asked", queueChecks...)
		return
	}
	var stores []admin.Status
	if err := r.Admin(r.ctx, r.setup.admin, "", nil, &stores); err != nil {
		r.skip(fmt.Sprintf("the running Caddy cannot be asked about its queue: %s", err), queueChecks...)
		return
	}
	r.opened(stores)
	if len(stores) == 0 {
		r.skip("no queue is open", QueueDelivering, QueueDead)
	}
	r.setup.several = len(stores) > 1
	for _, s := range stores {
		r.accepting(s)
		if s.Counts == nil {
			r.add(Finding{QueueDelivering, s.Store, Skipped, "the queue does not tell", ""})
			r.add(Finding{QueueDead, s.Store, Skipped, "the queue does not tell", ""})
			continue
		}
		r.waiting(s)
		r.deadLetters(s)
	}
}

// waiting judges what waits for each consumer.
func (r *run) waiting(s admin.Status) {
	idle := true
	for _, of := range s.Consumers {
		c := consumerOf{s.Store, of}
		if c.Pending > 0 || c.Paused && !c.left() {
			r.delivering(c)
			idle = false
		}
	}
	if idle {
		r.add(Finding{QueueDelivering, s.Store, OK, "No event waits.", ""})
	}
}

// deadLetters reports the dead letters of each consumer.
func (r *run) deadLetters(s admin.Status) {
	if s.Dead == 0 {
		r.add(Finding{QueueDead, s.Store, OK, "There are no dead letters.", ""})
	}
	for _, c := range s.Consumers {
		if c.Dead > 0 {
			r.dead(consumerOf{s.Store, c})
		}
	}
}

// consumerOf is a consumer of a store.
type consumerOf struct {
	store string
	admin.Consumer
}

// subject names the consumer, unless it is that of a queue that names none.
func (c *consumerOf) subject() string {
	if c.Name == queue.DefaultConsumer {
		return c.store
	}
	return c.store + ", consumer " + c.Name
}

// flag selects the consumer for commands.
func (c *consumerOf) flag() string {
	if c.Name == queue.DefaultConsumer {
		return ""
	}
	return " --consumer " + c.Name
}

// left reports whether the running config does not have the consumer.
func (c *consumerOf) left() bool { return c.InConfig != nil && !*c.InConfig }

// opened checks that the running Caddy has open what the config names.
func (r *run) opened(stores []admin.Status) {
	load := fmt.Sprintf("Load this config: caddy reload%s", r.configFlags())
	named, unknown := r.namedStores()
	for _, named := range named {
		if slices.ContainsFunc(stores, func(s admin.Status) bool { return s.Store == named.name }) {
			continue
		}
		advice := load
		if named.depends {
			advice = "If this command does not run as Caddy's user, in its directory and with its environment, on which this name depends, do that first. " + load
		}
		r.fault(QueueAccepting, fmt.Sprintf("The running Caddy does not have the queue %s open, which the config names.", named.name), advice)
	}
	switch {
	case len(stores) == 0 && len(named) == 0:
		r.fault(QueueAccepting, fmt.Sprintf("The Caddy at %s has no queue open, though the config has one.", r.setup.admin), load)
	case unknown > 0:
		r.skip("whether the running Caddy has each queue of the config open cannot be told: the store of one cannot be loaded here", QueueAccepting)
	}
}

// namedStores returns the stores that the config names, and how many it has whose name
// cannot be known here.
func (r *run) namedStores() (named []store, unknown int) {
	named = slices.Clone(r.setup.stores)
	for _, raw := range r.setup.notFiles {
		switch s, err := loadStore(raw); { // the check of the config tells the error
		case err != nil:
			unknown++
		case !slices.Contains(named, s):
			named = append(named, s)
		}
	}
	return named, unknown
}

// queueCommand returns a command that works on a store of the running Caddy.
func (r *run) queueCommand(command, store string) string {
	command = "caddy instagram queue " + command + r.configFlags()
	if r.setup.several {
		command += " --store " + quoted(store)
	}
	return command
}

// configFlags returns the flags by which Caddy's commands find the config.
func (r *run) configFlags() string {
	if r.Config == "" {
		return ""
	}
	flags := " --config " + quoted(r.Config)
	name := strings.ToLower(filepath.Base(r.Config))
	if filepath.Ext(name) != ".json" && !strings.HasPrefix(name, "caddyfile") && !strings.HasSuffix(name, ".caddyfile") {
		flags += " --adapter caddyfile" // Caddy does not see it by the name
	}
	return flags
}

// quoted returns an argument as a shell takes it.
func quoted(argument string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(`-_./:\@%+=,`, r)
	}
	if argument != "" && strings.IndexFunc(argument, func(r rune) bool { return !plain(r) }) < 0 {
		return argument
	}
	return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
}

func (r *run) accepting(s admin.Status) {
	f := Finding{Check: QueueAccepting, Subject: s.Store, Status: Fault}
	switch {
	case !s.RefusingSince.IsZero() || s.RefusingBecause != "":
		f.Text = "Deliveries are refused"
		if !s.RefusingSince.IsZero() {
			f.Text = fmt.Sprintf("Deliveries have been refused since %s (%s)", day(s.RefusingSince), age(s.RefusingSince))
		}
		f.Text += fmt.Sprintf(": %s.", cmp.Or(s.RefusingBecause, "they cannot be stored"))
		f.Advice = "Mend that: make room on the disk, for example, or raise max_pending."
		if s.Error != "" {
			f.Text += fmt.Sprintf(" The queue does not tell how it is: %s.", s.Error)
			f.Advice = "Mend what the error says; Caddy's log has more."
		}
		f.Advice += " After an hour of it Meta ends the subscription to messages, and what it gives up on is lost."
	case s.Error != "":
		f.Text, f.Advice = fmt.Sprintf("The queue does not tell how it is: %s.", s.Error), "Look for damage: "+r.queueCommand("check", s.Store)
	default:
		f.Status, f.Text = OK, "Deliveries are accepted."
	}
	r.add(f)
}

// delivering judges what waits for a consumer by the event that has waited longest.
func (r *run) delivering(c consumerOf) {
	f := Finding{Check: QueueDelivering, Subject: c.subject(), Status: OK, Text: "No event waits"}
	if c.Pending > 0 {
		f.Text = fmt.Sprintf("%s (%s) %s since %s (%s)", sentence(count(int(c.Pending), "event")), humanize.IBytes(uint64(max(0, c.PendingBytes))),
			map[bool]string{true: "waits,", false: "wait, the oldest"}[c.Pending == 1], day(c.Oldest), age(c.Oldest))
	}
	switch {
	case c.left():
		f.Status = Warning // whatever waits, it waits for ever
		f.Text += "; the consumer is not in the running config, and gets nothing."
		f.Advice = "Put it into the config again, or give its events up: " + r.queueCommand("drop "+c.Name, c.store)
	case c.Paused:
		f.Text += "; the consumer is paused."
		f.Advice = "Once it can take events: " + r.queueCommand("resume "+c.Name, c.store)
		r.ifStale(&f, c.Oldest)
	default:
		r.explain(&f, c)
	}
	r.add(f)
}

// explain adds to a finding why the oldest event of a consumer waits.
func (r *run) explain(f *Finding, c consumerOf) {
	e, err := r.first(c, "pending", "oldest")
	switch {
	case err != nil:
		f.Text += fmt.Sprintf("; why cannot be found out: %s.", err)
		f.Advice = "Look for yourself: " + r.queueCommand("list --state pending"+c.flag(), c.store)
	case e == nil || e.LastError == "":
		f.Text += "; no attempt has failed."
		f.Advice = "The application takes events more slowly than they come, or one attempt hangs: raise concurrency, and rate if it is set, or make it faster."
	default:
		f.Text += fmt.Sprintf("; its last attempt, number %d, failed: %s.", e.Attempts, e.LastError)
		f.Advice = fmt.Sprintf("Mend what the error says; the event is tried again by itself. When retry's 'for' has passed, "+
			"after %.0f hours if nothing else is set, it is a dead letter.", meta.RetryFor.Hours())
	}
	since := c.Oldest
	if e != nil && e.Requeued.After(since) {
		since = e.Requeued // by hand: it has not waited all the time
	}
	r.ifStale(f, since)
}

// ifStale makes a finding a warning if an event has waited for too long, and takes its
// advice away otherwise.
func (*run) ifStale(f *Finding, since time.Time) {
	if !since.IsZero() && time.Since(since) > staleAfter {
		f.Status = Warning
	} else {
		f.Advice = ""
	}
}

func (r *run) dead(c consumerOf) {
	text := sentence(count(int(c.Dead), "dead letter"))
	if newest, err := r.first(c, "dead", "newest"); err == nil && newest != nil {
		text += fmt.Sprintf(", %saccepted on %s (%s) and given up after %s: %s", map[bool]string{false: "the last one "}[c.Dead == 1], day(newest.Accepted), age(newest.Accepted), count(newest.Attempts, "attempt"), newest.LastError)
	}
	advice := fmt.Sprintf("Once the application can take them: %s; what nobody needs: %s",
		r.queueCommand("retry --all"+c.flag(), c.store), r.queueCommand("discard --all"+c.flag(), c.store))
	if c.left() {
		advice = "The consumer is not in the running config: put it into the config again, or give its events up: " + r.queueCommand("drop "+c.Name, c.store)
	}
	r.add(Finding{QueueDead, c.subject(), Warning, text + ".", advice})
}

// first returns the first event of a consumer in a state, of the newest or the oldest;
// nil if there is none.
func (r *run) first(of consumerOf, state, order string) (*admin.Event, error) {
	query := url.Values{"store": {of.store}, "consumer": {of.Name}, "state": {state}, "order": {order}, "limit": {"1"}}
	var found []*admin.Event
	if err := r.Admin(r.ctx, r.setup.admin, "/events", query, &found); err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// age returns how long ago something was.
func age(t time.Time) string { return humanize.Time(t) }
