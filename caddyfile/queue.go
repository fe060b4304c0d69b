package caddyfile

import (
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
//	    fields <names...>
//	    dedupe <duration>|off
//	    order  conversation|account|none
//	    retry {
//	        first <duration>
//	        max   <duration>
//	        for   <duration>
//	    }
//	    timeout        <duration>
//	    concurrency    <number>
//	    keep           [delivered <duration>] [dead <duration>]
//	    dead           <statuses...>
//	    max_pending    <number>|<size>
//	    min_free_space <size>
//	    <directives...>
//	}
//
// All that is not an option is parsed as the routes, as in a handle block.
func parseQueue(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	q := new(queue.Handler)
	h.Next() // consume the directive's name
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	block := h.NextSegment()
	var err error
	if q.Routes, err = parseWithRoutes(h, block, queueOptions(q)); err != nil {
		return nil, err
	}
	if len(q.Routes) == 0 {
		return nil, option.Dispenser(block).Err("instagram_queue needs a handler that takes the events, such as reverse_proxy")
	}
	return q, nil
}

// queueOptions lists the options. An incomplete line of the store would mean the default place.
func queueOptions(q *queue.Handler) *option.Table {
	limitPending := func(arg string) error { return setMaxPending(q, arg) }
	t := option.NewTable("instagram_queue",
		option.Module("store", "the name of a store, such as sqlite",
			"http.handlers.instagram_queue.stores", "module", &q.StoreRaw).Complete(),
		option.Fields("fields", &q.Fields),
		option.DurationOr("dedupe", "48h", "off", &q.Dedupe),
		option.Word("order", "conversation, account or none", &q.Order),
		option.Block("retry",
			option.Duration("first", "1s", &q.Retry.First),
			option.Duration("max", "10m", &q.Retry.Max),
			option.Duration("for", "36h", &q.Retry.For),
		),
		option.Duration("timeout", "30s", &q.Timeout),
		option.Number("concurrency", "32", &q.Concurrency),
		option.Pairs("keep",
			option.DurationOr("delivered", "24h", "0", &q.Keep.Delivered),
			option.DurationOr("dead", "30d", "0", &q.Keep.Dead),
		),
		option.Numbers("dead", "status such as 409", &q.DeadStatus),
		option.Func("max_pending", "a number of events, or a size such as 1GiB", limitPending).Repeatable(),
		option.SizeOrZero("min_free_space", "100MiB", &q.MinFreeSpace),
	)
	t.Validate = q.ValidateOptions
	return t
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

// parseWithRoutes parses a block in which options and directives are mixed, and returns the routes that the
// directives make.
func parseWithRoutes(h httpcaddyfile.Helper, block caddyfile.Segment, options *option.Table) (caddyhttp.RouteList, error) {
	var directives []caddyfile.Segment
	for d := option.Dispenser(block); d.NextBlock(0); {
		segment := d.NextSegment()
		if !options.Has(segment.Directive()) {
			directives = append(directives, segment)
		} else if err := options.Parse(segment); err != nil {
			return nil, err
		}
	}
	if len(directives) == 0 {
		return nil, nil
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
	return handler.(*caddyhttp.Subroute).Routes, nil
}

// nameUnknown returns a better error for a directive that does not exist and may be a misspelt option: Caddy names
// the line where the block ends, and not the options.
func nameUnknown(err error, directives []caddyfile.Segment, options *option.Table) error {
	for _, directive := range directives {
		name := directive.Directive()
		if strings.HasPrefix(err.Error(), "unrecognized directive: "+name+" ") {
			return option.Dispenser(directive).Errf("%q is neither an option of %s nor a directive: the options are %s",
				name, options.Owner(), options.Names())
		}
	}
	return err
}
