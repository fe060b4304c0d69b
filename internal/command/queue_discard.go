package command

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

func queueDiscardCommand(g *gateway) *cobra.Command {
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
	cmd.RunE = run(math.MaxInt, func(ctx context.Context, c *console, args []string) (result, error) {
		if err := f.validate(cmd, args); err != nil {
			return nil, err
		}
		if f.all {
			return discardAll(ctx, c, g, &f)
		}
		return discardEach(ctx, g, args)
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
		c.printf("%s would be forgotten.\n", eventCount(d.Count))
	} else {
		c.printf("%s forgotten.\n", eventCount(d.Count))
	}
	if d.InFlight > 0 {
		c.printf("Being delivered just now, so kept: %s.\n", eventCount(d.InFlight))
	}
}

func discardEach(ctx context.Context, g *gateway, args []string) (result, error) {
	d := new(discardedEvents)
	var err error
	d.IDs, err = forEach(args, func(id uint64) error {
		return g.change(ctx, http.MethodDelete, eventPath(id), nil, nil)
	})
	if len(d.IDs) == 0 {
		return nil, err
	}
	d.Count = len(d.IDs)
	return d, err
}

// discardAll forgets all selected events, page by page.
func discardAll(ctx context.Context, c *console, g *gateway, f *severalFlags) (result, error) {
	query, send, err := f.request(c, g)
	if err != nil {
		return nil, err
	}
	d := &discardedEvents{Discarded: admin.Discarded{DryRun: f.dryRun}}
	for {
		var page admin.Discarded
		if err := send(ctx, http.MethodPost, "/discard", query, &page); err != nil {
			if d.Count == 0 || f.dryRun {
				return nil, err
			}
			return d, &failure{exitUnsure, fmt.Errorf("after %s were forgotten: %w", eventCount(d.Count), err)}
		}
		d.Count += page.Count
		d.InFlight += page.InFlight
		if page.Before == 0 {
			break
		}
		query.Set("before", strconv.FormatUint(page.Before, 10))
	}
	if d.InFlight > 0 && !f.dryRun {
		return d, &failure{exitUnsure, fmt.Errorf("%s could not be forgotten: being delivered just now", eventCount(d.InFlight))}
	}
	return d, nil
}
