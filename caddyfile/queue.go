package caddyfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/queue"
)

// parseQueue parses the instagram_queue directive. Syntax:
//
//	instagram_queue [<matcher>] {
//	    store  <module> [<args...>]
//	    dedupe <duration>|off
//	    keep   [delivered <duration>] [dead <duration>] [answers on|off]
//	    unsent keep|erase
//	    max_pending    <number>|<size>
//	    min_free_space <size>
//
//	    fields <names...>
//	    order  conversation|account|none
//	    retry {
//	        first <duration>
//	        max   <duration>
//	        for   <duration>
//	    }
//	    timeout     <duration>
//	    concurrency <number>
//	    rate        <number>
//	    dead        <statuses...>
//	    <directives...>
//
//	    to <name> [<matcher>] {
//	        from kept
//	        # what stands above, from fields on
//	    }
//	}
//
// All that is not an option is parsed as the routes, as in a handle block. They are in the blocks of the consumers if
// there are such, and the options beside these are what the consumers leave out.
func parseQueue(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	q := new(queue.Handler)
	h.Next() // consume the directive's name
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	block := h.NextSegment()
	options := queueOptions(h, q)
	directives, err := parseOptions(block, options)
	switch {
	case err != nil:
		return nil, err
	case len(q.Consumers) == 0:
		q.Routes, err = parseRoutes(h, block, directives, options)
	case len(directives) > 0:
		err = besideConsumers(directives[0], options)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// besideConsumers returns an error for what stands beside the consumers of a queue and is no option.
func besideConsumers(directive caddyfile.Segment, options *option.Table) error {
	d := option.Dispenser(directive)
	if strings.HasPrefix(d.Val(), "@") {
		return d.Errf("%s must be defined outside of instagram_queue to be the matcher of a to, or in the block of a to for its directives",
			d.Val())
	}
	return d.Errf("%s must be in the block of a to, as this queue has consumers: the options beside them are %s",
		d.Val(), options.Names())
}

// queueOptions lists the options. An incomplete line of the store would mean the default place.
func queueOptions(h httpcaddyfile.Helper, q *queue.Handler) *option.Table {
	limitPending := func(arg string) error { return setMaxPending(q, arg) }
	t := option.NewTable("instagram_queue", append([]*option.Option{
		option.Module("store", "the name of a store, such as sqlite",
			"http.handlers.instagram_queue.stores", "module", &q.StoreRaw).Complete().Check(checkStore),
		option.DurationOr("dedupe", "48h", "off", &q.Dedupe),
		option.Pairs("keep",
			option.DurationOr("delivered", "24h", "0", &q.Keep.Delivered),
			option.DurationOr("dead", "30d", "0", &q.Keep.Dead),
			option.OnOff("answers", &q.Keep.Answers),
		),
		option.Word("unsent", "keep or erase", &q.Unsent),
		option.Func("max_pending", "a number of events, or a size such as 1GiB", limitPending).Repeatable(),
		option.SizeOrZero("min_free_space", "100MiB", &q.MinFreeSpace),
		option.Custom("to", func(d *caddyfile.Dispenser) error { return parseConsumer(h, d, q) }).Repeatable(),
	}, consumerOptions(&q.Consumer)...)...)
	t.Validate = q.ValidateOptions
	return t
}

// consumerOptions lists the options of a consumer.
func consumerOptions(c *queue.Consumer) []*option.Option {
	return []*option.Option{
		option.Fields("fields", &c.Fields),
		option.Word("order", "conversation, account or none", &c.Order),
		option.Block("retry",
			option.Duration("first", "1s", &c.Retry.First),
			option.Duration("max", "10m", &c.Retry.Max),
			option.Duration("for", "36h", &c.Retry.For),
		),
		option.Duration("timeout", "30s", &c.Timeout),
		option.Number("concurrency", "32", &c.Concurrency),
		option.Decimal("rate", "20", &c.Rate),
		option.Numbers("dead", "status such as 409", &c.DeadStatus),
	}
}

// parseConsumer parses the block of a consumer, from a dispenser that has come to its to.
func parseConsumer(h httpcaddyfile.Helper, d *caddyfile.Dispenser, q *queue.Handler) error {
	const usage = "to takes the name of a consumer, a matcher if there is one, and a block with a handler that takes its events"
	to := d.Token()
	if !d.NextArg() {
		return d.Err(usage)
	}
	c := queue.Named{Name: d.Val()}
	if d.NextArg() {
		set, ok, err := h.WithDispenser(caddyfile.NewDispenser(caddyfile.Segment{d.Token()})).MatcherToken()
		switch {
		case err != nil:
			return d.WrapErr(err)
		case !ok:
			return d.Err(usage)
		case set != nil: // else it is *
			c.MatcherSetsRaw = caddyhttp.RawMatcherSets{set}
		}
	}
	block := caddyfile.Segment{to}
	for d.Next() {
		block = append(block, d.Token())
	}
	if len(block) < 2 || block[1].Text != "{" {
		return option.Dispenser(block).Err(usage)
	}
	options := option.NewTable("to "+c.Name, append([]*option.Option{
		option.Word("from", "kept", &c.From),
	}, consumerOptions(&c.Consumer)...)...)
	options.Validate = c.ValidateOptions
	directives, err := parseOptions(block, options)
	if err != nil {
		return err
	}
	if c.Routes, err = parseRoutes(h, block, directives, options); err != nil {
		return err
	}
	q.Consumers = append(q.Consumers, c)
	return nil
}

// checkStore returns an error for a store that there was once.
func checkStore(args []string) error {
	if len(args) > 0 && args[0] == "bolt" {
		return errors.New("bolt is gone: queues are kept by sqlite. See CHANGELOG.md for how to carry events over")
	}
	return nil
}

// setMaxPending tells a number of events from a size by the unit.
func setMaxPending(q *queue.Handler, arg string) error {
	limit, unit := &q.MaxPending, "number"
	value, err := strconv.ParseInt(arg, 10, 64)
	if strings.ContainsAny(arg, "bBkKmMgGtTpPeE") {
		limit, unit = &q.MaxPendingSize, "size"
		value, err = option.ParseSize(arg)
	}
	if err != nil || value <= 0 {
		return fmt.Errorf("max_pending %q is neither a number of events nor a size such as 1GiB", arg)
	}
	if *limit != 0 {
		return fmt.Errorf("max_pending is given twice with a %s", unit)
	}
	*limit = value
	return nil
}

// parseOptions parses a block in which options and directives are mixed, and returns the directives.
func parseOptions(block caddyfile.Segment, options *option.Table) (directives []caddyfile.Segment, err error) {
	for d := option.Dispenser(block); d.NextBlock(0); {
		segment := d.NextSegment()
		if !options.Has(segment.Directive()) {
			directives = append(directives, segment)
		} else if err := options.Parse(segment); err != nil {
			return nil, err
		}
	}
	return directives, nil
}

// parseRoutes returns the routes that the directives of such a block make.
func parseRoutes(h httpcaddyfile.Helper, block caddyfile.Segment, directives []caddyfile.Segment,
	options *option.Table,
) (caddyhttp.RouteList, error) {
	if len(directives) == 0 {
		return nil, needsHandler(block, options)
	}
	tokens := append(caddyfile.Segment(nil), block[:2]...) // the name and the brace
	for _, directive := range directives {
		tokens = append(tokens, directive...)
	}
	tokens = append(tokens, block[len(block)-1])
	handler, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(caddyfile.NewDispenser(tokens)))
	if err != nil {
		return nil, nameUnknown(err, directives, options)
	}
	routes := handler.(*caddyhttp.Subroute).Routes
	if len(routes) == 0 {
		return nil, needsHandler(block, options)
	}
	return routes, nil
}

func needsHandler(block caddyfile.Segment, options *option.Table) error {
	return option.Dispenser(block).Errf("%s needs a handler that takes the events, such as reverse_proxy", options.Owner())
}

// nameUnknown returns a better error for a directive that does not exist and may be a misspelt option: Caddy names
// the line where the block ends, and not the options.
func nameUnknown(err error, directives []caddyfile.Segment, options *option.Table) error {
	for _, directive := range directives {
		name := directive.Directive()
		if strings.Contains(err.Error()+" ", "unrecognized directive: "+name+" ") {
			return option.Dispenser(directive).Errf("%q is neither an option of %s nor a directive: the options are %s",
				name, options.Owner(), options.Names())
		}
	}
	return err
}
