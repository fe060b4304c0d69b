package harness

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// WaitOneListener returns when nobody listens on one of these addresses twice. For a moment
// after a reload, the servers of two configs do: Caddy does not wait until those of the old
// one are closed, and a connection that has come to them by then is reset.
func WaitOneListener(t testing.TB, addrs ...string) {
	t.Helper()
	Wait(t, "the listeners of the old config are closed", func() bool {
		counts, err := listeners()
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range addrs {
			if counts[addr] > 1 {
				return false
			}
		}
		return true
	})
}

// listeners returns how many sockets listen on each address of IPv4.
func listeners() (map[string]int, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int)
	for line := range strings.Lines(string(table)) {
		const local, state, listening = 1, 3, "0A"
		fields := strings.Fields(line)
		if len(fields) <= state || fields[state] != listening {
			continue
		}
		var ip [4]byte // the last one first
		var port uint16
		if _, err := fmt.Sscanf(fields[local], "%2x%2x%2x%2x:%x", &ip[3], &ip[2], &ip[1], &ip[0], &port); err != nil {
			return nil, fmt.Errorf("%w in %q", err, line)
		}
		counts[netip.AddrPortFrom(netip.AddrFrom4(ip), port).String()]++
	}
	return counts, nil
}
