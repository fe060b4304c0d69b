package harness

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestListenersAreCounted listens twice on one address, as Caddy does during a reload.
func TestListenersAreCounted(t *testing.T) {
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if ctrl := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); ctrl != nil {
			return ctrl
		}
		return err
	}}
	addr := FreeAddr(t)
	for want := 1; want <= 2; want++ {
		listener, err := reuse.Listen(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		counts, err := listeners()
		if err != nil {
			t.Fatal(err)
		}
		if counts[addr] != want {
			t.Errorf("%d listeners are counted, want %d", counts[addr], want)
		}
	}
}
