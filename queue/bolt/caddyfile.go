package bolt

import (
	"math"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	bolt [<path>] {
//	    min_free_space <size>
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the module's name
	switch args := d.RemainingArgs(); {
	case len(args) > 1:
		return d.Err("bolt takes one argument: the path of the file")
	case len(args) == 1 && args[0] == "":
		return d.Err("the path of bolt is empty")
	case len(args) == 1:
		m.Path = args[0]
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "min_free_space" {
			return d.Errf("unknown option %q of bolt: the option is min_free_space", d.Val())
		}
		var arg string
		if !d.AllArgs(&arg) {
			return d.Err("min_free_space takes one argument: a size such as 100MiB")
		}
		if m.MinFreeSpace != 0 {
			return d.Err("min_free_space is given twice")
		}
		size, err := humanize.ParseBytes(arg)
		if err != nil || size == 0 || size > math.MaxInt64 {
			return d.Errf("min_free_space %q is not a size such as 100MiB", arg)
		}
		m.MinFreeSpace = int64(size)
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Module)(nil)
