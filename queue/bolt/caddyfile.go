package bolt

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// UnmarshalCaddyfile sets up the store from Caddyfile tokens. Syntax:
//
//	bolt [<path>]
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
		return d.Err("bolt takes no block")
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Module)(nil)
