package caddyfile

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-instagram/webhooks/file"
	"github.com/caddy-instagram/webhooks/internal/option"
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
// As for Caddy's root directive, a lone argument is the path even where it looks like a path matcher.
func parseFile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	const usage = "instagram_file takes an optional matcher and the path of the file"
	h.Next() // consume the directive's name
	line := option.LineOf(h.Dispenser)
	args := h.CountRemainingArgs()
	if args < 1 || args > 2 {
		return nil, line.Explain(h.Err(usage))
	}
	if err := line.Complete(h.Dispenser); err != nil {
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
	f := new(file.Handler)
	if !h.AllArgs(&f.Path) || strings.HasPrefix(f.Path, "@") {
		return nil, h.Err(usage)
	}
	if f.Path == "" {
		return nil, h.Err("the path of instagram_file is empty")
	}
	if err := fileOptions(f).ParseBlock(h.Dispenser); err != nil {
		return nil, err
	}
	if err := f.Validate(); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(matcher, f), nil
}

func fileOptions(f *file.Handler) *option.Table {
	roll := &f.Roll
	return option.NewTable("instagram_file",
		option.Word("format", "cloudevents, meta or raw", &f.Format),
		option.Word("layout", "lines or files", &f.Layout),
		option.Fields("fields", &f.Fields),
		option.Text("mode", "octal digits such as 0640", &f.Mode),
		option.Size("roll_size", "100MiB", &roll.Size),
		option.Duration("roll_interval", "24h", &roll.Interval),
		option.Words("roll_at", "time of day such as 00:00", &roll.At).SplitAtCommas(),
		option.Flag("roll_local_time", &roll.LocalTime),
		option.Number("roll_keep", "7", &roll.Keep),
		option.Duration("roll_keep_for", "30d", &roll.KeepFor),
		option.Word("roll_compression", "none, gzip or zstd", &roll.Compression),
	)
}
