package caddyfile

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-instagram/webhooks/internal/fieldwarn"
	"github.com/caddy-instagram/webhooks/queue"
)

// queueOptions parse the options of instagram_queue, each from a dispenser with
// the tokens of this option that has consumed its name.
var queueOptions = map[string]func(*caddyfile.Dispenser, *queue.Handler) error{
	"store":       parseQueueStore,
	"fields":      parseQueueFields,
	"dedupe":      parseQueueDedupe,
	"order":       parseQueueOrder,
	"retry":       parseQueueRetry,
	"timeout":     parseQueueTimeout,
	"concurrency": parseQueueConcurrency,
	"keep":        parseQueueKeep,
	"dead":        parseQueueDead,
	"max_pending": parseQueueMaxPending,

	"min_free_space": parseQueueMinFreeSpace,
}

func parseQueueStore(d *caddyfile.Dispenser, q *queue.Handler) error {
	if !d.NextArg() {
		return d.Err("store takes the name of a store, such as bolt")
	}
	name := d.Val()
	module, err := caddyfile.UnmarshalModule(d, "http.handlers.instagram_queue.stores."+name)
	if err != nil {
		return err
	}
	opener, ok := module.(queue.Opener)
	if !ok {
		return d.Errf("the module %q is not a store", name)
	}
	q.StoreRaw = caddyconfig.JSONModuleObject(opener, "module", name, nil)
	return nil
}

func parseQueueFields(d *caddyfile.Dispenser, q *queue.Handler) error {
	fields, err := arguments(d, "field such as comments")
	q.Fields = append(q.Fields, fields...)
	fieldwarn.Caddyfile(d, fields)
	return err
}

func parseQueueDedupe(d *caddyfile.Dispenser, q *queue.Handler) error {
	arg, err := argument(d, "a duration such as 48h, or off")
	if err != nil {
		return err
	}
	q.Dedupe = new(caddy.Duration)
	if arg == "off" {
		return nil
	}
	return setDuration(d, "dedupe", arg, q.Dedupe)
}

func parseQueueOrder(d *caddyfile.Dispenser, q *queue.Handler) (err error) {
	q.Order, err = argument(d, "conversation, account or none")
	return err
}

func parseQueueRetry(d *caddyfile.Dispenser, q *queue.Handler) error {
	if d.NextArg() {
		return d.Err("retry takes no argument, but a block with first, max and for")
	}
	for d.NextBlock(0) {
		var duration *caddy.Duration
		option := d.Val()
		switch option {
		case "first":
			duration = &q.Retry.First
		case "max":
			duration = &q.Retry.Max
		case "for":
			duration = &q.Retry.For
		default:
			return d.Errf("unknown option %q of retry: the options are first, max and for", option)
		}
		at := nested(d.NextSegment())
		if *duration != 0 {
			return at.Errf("%s is given twice", option)
		}
		line := lineOf(at)
		arg, err := argument(at, "a duration such as 10m")
		if err != nil {
			return line.explain(err)
		}
		if err := setDuration(at, option, arg, duration); err != nil {
			return err
		}
	}
	return nil
}

func parseQueueTimeout(d *caddyfile.Dispenser, q *queue.Handler) error {
	arg, err := argument(d, "a duration such as 30s")
	if err != nil {
		return err
	}
	return setDuration(d, "timeout", arg, &q.Timeout)
}

func parseQueueConcurrency(d *caddyfile.Dispenser, q *queue.Handler) error {
	arg, err := argument(d, "a number such as 32")
	if err != nil {
		return err
	}
	if q.Concurrency, err = strconv.Atoi(arg); err != nil || q.Concurrency < 1 {
		return d.Errf("concurrency %q is not a number of events", arg)
	}
	return nil
}

func parseQueueKeep(d *caddyfile.Dispenser, q *queue.Handler) error {
	args, err := arguments(d, "pair such as delivered 24h")
	if err != nil {
		return err
	}
	if len(args)%2 != 0 {
		return d.Err("keep takes pairs of a state and a duration: delivered 24h, dead 30d")
	}
	for ; len(args) > 0; args = args[2:] {
		var keep **caddy.Duration
		switch args[0] {
		case "delivered":
			keep = &q.Keep.Delivered
		case "dead":
			keep = &q.Keep.Dead
		default:
			return d.Errf("unknown state %q of keep: the states are delivered and dead", args[0])
		}
		if *keep != nil {
			return d.Errf("keep %s is given twice", args[0])
		}
		*keep = new(caddy.Duration)
		if args[1] == "0" {
			continue
		}
		if err := setDuration(d, "keep "+args[0], args[1], *keep); err != nil {
			return err
		}
	}
	return nil
}

func parseQueueDead(d *caddyfile.Dispenser, q *queue.Handler) error {
	args, err := arguments(d, "status such as 409")
	if err != nil {
		return err
	}
	for _, arg := range args {
		status, err := strconv.Atoi(arg)
		if err != nil {
			return d.Errf("dead %q is not a status such as 409", arg)
		}
		q.DeadStatus = append(q.DeadStatus, status)
	}
	return nil
}

// parseQueueMaxPending tells a number of events from a size by the unit.
func parseQueueMaxPending(d *caddyfile.Dispenser, q *queue.Handler) error {
	arg, err := argument(d, "a number of events, or a size such as 1GiB")
	if err != nil {
		return err
	}
	limit, unit := &q.MaxPending, "number"
	size, err := strconv.ParseInt(arg, 10, 64)
	if strings.ContainsAny(arg, "bBkKmMgGtTpPeE") {
		limit, unit = &q.MaxPendingSize, "size"
		size, err = parseSize(arg)
	}
	if err != nil || size <= 0 {
		return d.Errf("max_pending %q is neither a number of events nor a size such as 1GiB", arg)
	}
	if *limit != 0 {
		return d.Errf("max_pending is given twice with a %s", unit)
	}
	*limit = size
	return nil
}

func parseQueueMinFreeSpace(d *caddyfile.Dispenser, q *queue.Handler) error {
	arg, err := argument(d, "a size such as 100MiB")
	if err != nil {
		return err
	}
	size, err := parseSize(arg)
	if err != nil {
		return d.Errf("min_free_space %q is not a size such as 100MiB", arg)
	}
	q.MinFreeSpace = &size
	return nil
}

// argument returns the only argument of an option that takes no block.
func argument(d *caddyfile.Dispenser, what string) (string, error) {
	option := d.Val()
	if args := d.RemainingArgs(); len(args) == 1 && !d.Next() {
		return args[0], nil
	}
	return "", d.Errf("%s takes one argument: %s", option, what)
}

// arguments returns the arguments of an option that takes no block.
func arguments(d *caddyfile.Dispenser, what string) ([]string, error) {
	option := d.Val()
	if args := d.RemainingArgs(); len(args) > 0 && !d.Next() {
		return args, nil
	}
	return nil, d.Errf("%s takes at least one %s", option, what)
}

func setDuration(d *caddyfile.Dispenser, option, arg string, duration *caddy.Duration) (err error) {
	if *duration, err = parseDuration(arg); err != nil {
		return d.Errf("%s: %v", option, err)
	}
	return nil
}
