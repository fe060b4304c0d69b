package check

import (
	"fmt"
	"net/netip"
	"strings"
)

// addresses checks that all addresses of the host answer alike: one of them may
// lead to another server, such as an AAAA record that was forgotten.
func (r *run) addresses(reached []netip.Addr) {
	var first exchange
	var others []string
	for i, addr := range reached {
		r.via = addr
		e := r.get("a request to "+addr.String(), r.url)
		if i == 0 {
			first = e
		} else if e.Status != first.Status {
			others = append(others, fmt.Sprintf("%s (%s)", addr, e.outcome()))
		}
	}
	r.via = netip.Addr{}
	if others == nil {
		r.ok(Addresses, "All addresses answer alike.")
		return
	}
	r.warn(Addresses, fmt.Sprintf("Not all addresses answer alike: %s (%s), but %s.", reached[0], first.outcome(), strings.Join(others, ", ")),
		"Meta may use any address of the name: remove the A and AAAA records that lead to another server, or make that one right too.")
}
