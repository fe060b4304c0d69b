package command

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

func queueDiscardCommand(a *adminClient) *cobra.Command {
	var f severalFlags
	cmd := &cobra.Command{
		Use:   "discard {<id>... | --all}",
		Short: "Forget events",
		Long: `
Forgets events for good, in whatever state they are: either those with the given
ids, or with --all those that the other flags select: without flags, all that are
dead. Those that are being delivered just now cannot be forgotten: they stay, and
are counted.
` + queueExitCodes,
		Example: `  $ caddy instagram queue discard 1207 1210
  $ caddy instagram queue discard --all --field comments --since 24h --dry-run
  $ caddy instagram queue discard --all --field comments --since 24h`,
	}
	f.register(cmd)
	cmd.RunE = a.run(math.MaxInt, func(ctx context.Context, c *console, args []string) (result, error) {
		if err := f.validate(cmd, args); err != nil {
			return nil, err
		}
		if f.all {
			return discardAll(ctx, a, &f, f.query(c))
		}
		return discardEach(ctx, a, args)
	})
	return cmd
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

func discardEach(ctx context.Context, a *adminClient, args []string) (result, error) {
	d := new(discardedEvents)
	var err error
	d.IDs, err = forEach(args, func(id uint64) error {
		return a.change(ctx, http.MethodDelete, eventPath(id), nil, nil)
	})
	if len(d.IDs) == 0 {
		return nil, err
	}
	d.Count = len(d.IDs)
	return d, err
}

// discardAll forgets all selected events, page by page.
func discardAll(ctx context.Context, a *adminClient, f *severalFlags, query url.Values) (result, error) {
	d := &discardedEvents{Discarded: admin.Discarded{DryRun: f.dryRun}}
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
