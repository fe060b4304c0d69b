package check

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// addresses checks that all addresses of the host answer alike: one of them may
// lead to another server, such as an AAAA record that was forgotten.
func (v *run) addresses(reached []netip.Addr) {
	var first exchange
	var others []string
	for i, addr := range reached {
		v.via = addr
		e := v.get("a request to "+addr.String(), nil, v.Certificate)
		if i == 0 {
			first = e
		} else if e.status != first.status {
			others = append(others, fmt.Sprintf("%s (%s)", addr, e.outcome()))
		}
	}
	v.via = netip.Addr{}
	if others == nil {
		v.ok(Addresses, "All addresses answer alike.")
		return
	}
	v.warn(Addresses, fmt.Sprintf("Not all addresses answer alike: %s (%s), but %s.", reached[0], first.outcome(), strings.Join(others, ", ")),
		"Meta may use any address of the name: remove the A and AAAA records that lead to another server, or make that one right too.")
}

// address is where to connect to.
func (v *run) address() string {
	host := v.url.Hostname()
	if v.via.IsValid() {
		host = v.via.String()
	}
	return net.JoinHostPort(host, portOf(v.url))
}
