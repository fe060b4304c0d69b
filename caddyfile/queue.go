package caddyfile

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

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
//	    timeout     <duration>
//	    concurrency <number>
//	    keep        [delivered <duration>] [dead <duration>]
//	    dead        <statuses...>
//	    max_pending <number>|<size>
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
	var routes []caddyfile.Segment
	seen := make(map[string]bool)
	for d := nested(block); d.NextBlock(0); {
		segment := d.NextSegment()
		option := segment.Directive()
		parse, ok := queueOptions[option]
		if !ok {
			routes = append(routes, segment)
			continue
		}
		at := nested(segment)
		if seen[option] && option != "fields" && option != "dead" && option != "max_pending" {
			return nil, at.Errf("%s is given twice", option)
		}
		seen[option] = true
		line := lineOf(at)
		if err := parse(at, q); err != nil {
			return nil, line.explain(err)
		}
		if option == "store" { // else events would go to the default place
			if err := line.complete(nested(segment)); err != nil {
				return nil, err
			}
		}
		if err := q.ValidateOptions(); err != nil {
			return nil, nested(segment).WrapErr(err)
		}
	}
	if err := parseQueueRoutes(h, block, routes, q); err != nil {
		return nil, err
	}
	return q, nil
}

// nested returns a dispenser that has consumed the first token.
func nested(segment caddyfile.Segment) *caddyfile.Dispenser {
	d := caddyfile.NewDispenser(segment)
	d.Next()
	return d
}

// parseQueueRoutes parses the directives that are left of block without the
// options.
func parseQueueRoutes(h httpcaddyfile.Helper, block caddyfile.Segment, routes []caddyfile.Segment, q *queue.Handler) error {
	if len(routes) > 0 {
		last := len(block) - 1
		tokens := append(caddyfile.Segment(nil), block[:2]...) // the name and the brace
		for _, segment := range routes {
			tokens = append(tokens, segment...)
		}
		tokens = append(tokens, block[last])
		handler, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(caddyfile.NewDispenser(tokens)))
		if err != nil {
			return placed(err, routes)
		}
		subroute, ok := handler.(*caddyhttp.Subroute)
		if !ok {
			return h.Err("the directives in instagram_queue are no routes")
		}
		q.Routes = subroute.Routes
	}
	if len(q.Routes) == 0 {
		return nested(block).Err("instagram_queue needs a handler that takes the events, such as reverse_proxy")
	}
	return nil
}

// placed returns another error for a directive that does not exist, perhaps a
// misspelt option: Caddy names the line where the block ends.
func placed(err error, routes []caddyfile.Segment) error {
	for _, segment := range routes {
		if strings.HasPrefix(err.Error(), "unrecognized directive: "+segment.Directive()+" ") {
			return nested(segment).Errf("%q is neither an option of instagram_queue nor a directive: the options are store, fields, dedupe, order, retry, timeout, concurrency, keep, dead, max_pending and min_free_space", segment.Directive())
		}
	}
	return err
}
