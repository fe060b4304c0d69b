// Command caddy is Caddy with its standard modules and this plugin, for the
// tests and for trying the plugin from a checkout. For production, build with
// xcaddy as the README says.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
)

func main() {
	caddycmd.Main()
}
