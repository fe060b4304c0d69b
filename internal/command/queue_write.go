package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

// severalFlags are the flags of the commands that change events: those with the given
// ids or, with --all, those that the flags select.
type severalFlags struct{ all, dryRun bool }

func (f *severalFlags) register(cmd *cobra.Command) {
	registerSelection(cmd, "dead")
	cmd.Flags().BoolVar(&f.all, "all", false, "All that the other flags select")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "Only count them")
}

// validate returns an error unless there are either ids or --all. The
// flags that select events, --dry-run and --rate need --all.
func (f *severalFlags) validate(c *console, ids []string) error {
	switch {
	case f.all && len(ids) > 0:
		return errors.New("give either ids or --all")
	case f.all:
		return nil
	case len(ids) == 0:
		return errors.New("which events? give their ids, which 'list' shows, or --all")
	}
	for _, flag := range slices.Concat(selection, []string{"dry-run", "rate"}) {
		if c.flags.Changed(flag) {
			return fmt.Errorf("--%s is for --all", flag)
		}
	}
	return nil
}

// post asks the admin API to change the selected events or, with --dry-run, to count
// them.
func (f *severalFlags) post(ctx context.Context, a *adminClient, path string, query url.Values, done any) error {
	if !f.dryRun {
		return a.change(ctx, http.MethodPost, path, query, done)
	}
	query.Set("dry_run", "true")
	return a.read(ctx, http.MethodPost, path, query, done)
}

func queueRetryCommand(a *adminClient) *cobra.Command {
	var f severalFlags
	var rate float64
	cmd := a.command("retry {<id>... | --all}", "Deliver events again", `
Makes events pending again: dead ones, delivered ones, and those that wait for
another attempt, which is due at once then. Either those with the given ids, or
with --all those that the other flags select: without flags, all that are dead.
Without --consumer, an event is delivered again to all consumers that have it, and
counts for each.

Events that were dead or delivered come behind all others, so that they do not
hold up new ones, and with --all not more than --rate of them in a second. If
your application drops duplicates by the Idempotency-Key, it does not take a
delivered event again.
`+queueExitCodes, `  $ caddy instagram queue retry 1207 1210
  $ caddy instagram queue retry --all --field comments --since 24h --dry-run
  $ caddy instagram queue retry --all --consumer crm --since 24h --rate 50`,
		math.MaxInt, func(ctx context.Context, c *console, args []string) (result, error) {
			if err := f.validate(c, args); err != nil {
				return nil, err
			}
			r := new(retriedEvents)
			if !f.all {
				return r.each(ctx, a, args)
			}
			query := selected(c)
			query.Set("rate", strconv.FormatFloat(rate, 'g', -1, 64))
			return ifDone(r, f.post(ctx, a, "/retry", query, &r.Retried))
		})
	f.register(cmd)
	cmd.Flags().Float64Var(&rate, "rate", 10, "At most so many events in a second")
	return a.withConsumer(cmd)
}

// retriedEvents is the result of retry.
type retriedEvents struct {
	outcome
	admin.Retried

	// Waiting are those of the given ids that are due anyway.
	Waiting []uint64 `json:"waiting,omitempty"`
}

func (r *retriedEvents) text(c *console) {
	if r.DryRun {
		c.printf("%s would be delivered again.\n", plural(r.Count, "event"))
		return
	}
	for _, id := range r.Waiting {
		c.printf("Event %d is due anyway.\n", id)
	}
	if r.Count > 0 || len(r.Waiting) == 0 {
		c.printf("%s will be delivered again.\n", plural(r.Count, "event"))
	}
}

// each makes the events with the ids in args pending.
func (r *retriedEvents) each(ctx context.Context, a *adminClient, args []string) (result, error) {
	done, err := forEach(args, func(id uint64) error {
		var one admin.Retried
		if err := a.change(ctx, http.MethodPost, eventPath(id)+"/retry", nil, &one); err != nil {
			return err
		}
		if r.Count += one.Count; one.Count == 0 {
			r.Waiting = append(r.Waiting, id)
		}
		return nil
	})
	if len(done) == 0 {
		return nil, err
	}
	return r, err
}

// forEach calls do with each of the ids in args, and returns those for which it
// succeeded. It goes on if Caddy refuses one, and stops at any other error.
func forEach(args []string, do func(uint64) error) (done []uint64, err error) {
	ids, err := eventIDs(args)
	if err != nil {
		return nil, err
	}
	var errs []error
	status := exitInput
	for i, id := range ids {
		err := do(id)
		if err == nil {
			done = append(done, id)
			continue
		}
		errs = append(errs, fmt.Errorf("event %d: %w", id, err))
		if failed, ok := errors.AsType[*failure](err); ok {
			status = max(status, failed.status)
		}
		if _, rejected := errors.AsType[rejection](err); rejected && status == exitRefused {
			continue
		}
		if left := len(ids) - i - 1; left > 0 {
			errs = append(errs, fmt.Errorf("%s after it: not tried", plural(left, "event")))
		}
		break
	}
	switch {
	case len(errs) == 0:
		return done, nil
	case len(done) > 0:
		status = exitPartial
	}
	return done, &failure{status, errors.Join(errs...)}
}

func queueDiscardCommand(a *adminClient) *cobra.Command {
	var f severalFlags
	cmd := a.command("discard {<id>... | --all}", "Forget events", `
Forgets events for good, in whatever state they are: either those with the given
ids, or with --all those that the other flags select: without flags, all that are
dead. Without --consumer, an id is forgotten for all consumers that have it. With
--all, an event is forgotten for those whose state is selected, and counts for each.
Those that are being delivered just now cannot be forgotten: they stay, and
are counted.
`+queueExitCodes, `  $ caddy instagram queue discard 1207 1210
  $ caddy instagram queue discard --all --field comments --since 24h --dry-run
  $ caddy instagram queue discard --all --consumer crm --since 24h`,
		math.MaxInt, func(ctx context.Context, c *console, args []string) (result, error) {
			if err := f.validate(c, args); err != nil {
				return nil, err
			}
			d := new(discardedEvents)
			if !f.all {
				return d.each(ctx, a, args)
			}
			return d.pages(ctx, a, &f, selected(c))
		})
	f.register(cmd)
	return a.withConsumer(cmd)
}

// discardedEvents is the result of discard.
type discardedEvents struct {
	outcome
	admin.Discarded

	// IDs are those of the given ids that are forgotten.
	IDs []uint64 `json:"discarded,omitempty"`
}

func (d *discardedEvents) text(c *console) {
	if d.DryRun {
		c.printf("%s would be forgotten.\n", plural(d.Count, "event"))
	} else {
		c.printf("%s forgotten.\n", plural(d.Count, "event"))
	}
	if d.InFlight > 0 {
		c.printf("Being delivered just now, so kept: %s.\n", plural(d.InFlight, "event"))
	}
}

// each forgets the events with the ids in args.
func (d *discardedEvents) each(ctx context.Context, a *adminClient, args []string) (_ result, err error) {
	d.IDs, err = forEach(args, func(id uint64) error {
		return a.change(ctx, http.MethodDelete, eventPath(id), nil, nil)
	})
	if len(d.IDs) == 0 {
		return nil, err
	}
	d.Count = len(d.IDs)
	return d, err
}

// pages forgets all selected events, page by page.
func (d *discardedEvents) pages(ctx context.Context, a *adminClient, f *severalFlags, query url.Values) (result, error) {
	d.DryRun = f.dryRun
	for {
		var page admin.Discarded
		if err := f.post(ctx, a, "/discard", query, &page); err != nil {
			if d.Count == 0 || f.dryRun {
				return nil, err
			}
			return d, &failure{exitPartial, fmt.Errorf("after %s were forgotten: %w", plural(d.Count, "event"), err)}
		}
		d.Count += page.Count
		d.InFlight += page.InFlight
		if page.Before == 0 {
			break
		}
		query.Set("before", strconv.FormatUint(page.Before, 10))
	}
	if d.InFlight > 0 && !f.dryRun {
		return d, &failure{exitPartial, fmt.Errorf("%s could not be forgotten: being delivered just now", plural(d.InFlight, "event"))}
	}
	return d, nil
}
