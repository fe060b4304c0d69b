// Package loopback tells this machine by its name.
package loopback

import "net/netip"

// Is reports whether a host, a name or an address without brackets, is this machine by
// its very name.
func Is(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
