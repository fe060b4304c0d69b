package caddyfile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/internal/fieldwarn"
)

// parseFile parses the instagram_file directive. Syntax:
//
//	instagram_file [<matcher>] <path> {
//	    format cloudevents|meta|raw
//	    layout lines|files
//	    fields <names...>
//	    mode   <mode>
//	    roll_size        <size>
//	    roll_interval    <duration>
//	    roll_at          <times...>
//	    roll_local_time
//	    roll_keep        <number>
//	    roll_keep_for    <duration>
//	    roll_compression none|gzip|zstd
//	}
//
// As for Caddy's root directive, a lone argument is the path even where it
// looks like a path matcher.
func parseFile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // consume the directive's name
	line := lineOf(h.Dispenser)
	args := h.CountRemainingArgs()
	if args < 1 || args > 2 {
		return nil, line.explain(h.Err("instagram_file takes an optional matcher and the path of the file"))
	}
	if err := line.complete(h.Dispenser); err != nil {
		return nil, err // else events would go to another place
	}
	var matcher caddy.ModuleMap
	if args == 2 {
		var err error
		if matcher, err = h.ExtractMatcherSet(); err != nil {
			return nil, err
		}
		h.Next() // consume the directive's name again
	}
	events := new(file.Handler)
	if !h.AllArgs(&events.Path) || strings.HasPrefix(events.Path, "@") {
		return nil, h.Err("instagram_file takes an optional matcher and the path of the file")
	}
	if events.Path == "" {
		return nil, h.Err("the path of instagram_file is empty")
	}
	seen := make(map[string]bool)
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		option := h.Val()
		if seen[option] && option != "fields" && option != "roll_at" {
			return nil, h.Errf("%s is given twice", option)
		}
		seen[option] = true
		line := lineOf(h.Dispenser)
		if err := parseFileOption(h.Dispenser, events); err != nil {
			return nil, line.explain(err)
		}
	}
	if err := events.Validate(); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(matcher, events), nil
}

func parseFileOption(d *caddyfile.Dispenser, events *file.Handler) error {
	option := d.Val()
	args := d.RemainingArgs()
	switch option {
	case "fields", "roll_at":
		if len(args) == 0 {
			return d.Errf("%s takes at least one argument", option)
		}
	case "roll_local_time":
		if len(args) != 0 {
			return d.Errf("%s takes no argument", option)
		}
		args = []string{""}
	default:
		if len(args) != 1 {
			return d.Errf("%s takes one argument", option)
		}
	}
	roll, arg := &events.Roll, args[0]
	var err error
	switch option {
	case "format":
		events.Format = arg
	case "layout":
		events.Layout = arg
	case "fields":
		events.Fields = append(events.Fields, args...)
		fieldwarn.Caddyfile(d, args)
	case "mode":
		events.Mode, err = file.ParseMode(arg)
	case "roll_size":
		if roll.Size, err = parseSize(arg); err != nil || roll.Size == 0 {
			return d.Errf("roll_size %q is not a size such as 100MiB", arg)
		}
	case "roll_interval":
		roll.Interval, err = parseDuration(arg)
	case "roll_at":
		for _, arg := range args {
			roll.At = append(roll.At, strings.Split(arg, ",")...)
		}
	case "roll_local_time":
		roll.LocalTime = true
	case "roll_keep":
		if roll.Keep, err = strconv.Atoi(arg); err != nil || roll.Keep < 1 {
			return d.Errf("roll_keep %q is not a number of files", arg)
		}
	case "roll_keep_for":
		roll.KeepFor, err = parseDuration(arg)
	case "roll_compression":
		roll.Compression = arg
	default:
		return d.Errf("unknown option %q of instagram_file: the options are format, layout, fields, mode, roll_size, roll_interval, roll_at, roll_local_time, roll_keep, roll_keep_for and roll_compression", option)
	}
	if err != nil {
		return d.Errf("%s: %v", option, err)
	}
	return nil
}

func parseDuration(arg string) (caddy.Duration, error) {
	duration, err := caddy.ParseDuration(arg)
	if err != nil || duration <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as 24h or 7d", arg)
	}
	return caddy.Duration(duration), nil
}
