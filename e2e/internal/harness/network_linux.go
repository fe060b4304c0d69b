package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Network is where a server is as on a machine of its own. Those who use it come over links,
// each with an address of its own for the server, whose packets can be dropped.
type Network struct {
	name   string
	number int
}

// NewNetwork makes a network with so many links.
func NewNetwork(t testing.TB, links int) *Network {
	t.Helper()
	NeedRoot(t)
	n := new(Network)
	var err error
	for n.number = range 256 { // others take names at the same time
		n.name = fmt.Sprintf("instagram-%d", n.number)
		if err = exec.Command("ip", "netns", "add", n.name).Run(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("making a network with ip, of Debian's package iproute2: %v", err)
	}
	t.Cleanup(func() {
		run(t, "ip", "link", "delete", n.device()) // at once, which the next command does not
		run(t, "ip", "netns", "delete", n.name)
	})
	run(t, "ip", "link", "add", n.device(), "type", "veth", "peer", "name", n.device(), "netns", n.name)
	for link := range links {
		run(t, "ip", "address", "add", n.Client(link)+"/30", "dev", n.device())
		run(t, "ip", "-n", n.name, "address", "add", n.Addr(link)+"/30", "dev", n.device())
	}
	run(t, "ip", "link", "set", n.device(), "up")
	run(t, "ip", "-n", n.name, "link", "set", n.device(), "up")
	return n
}

func (n *Network) device() string { return fmt.Sprintf("ig-%d", n.number) }

// Client is the address of who uses a link. Both are of a block for tests of networks.
func (n *Network) Client(link int) string { return fmt.Sprintf("198.18.%d.%d", n.number, 4*link+1) }

// Addr is the address of the server for who uses a link.
func (n *Network) Addr(link int) string { return fmt.Sprintf("198.18.%d.%d", n.number, 4*link+2) }

// Inside calls run, on a thread of its own, and the processes that it starts are in the network.
func (n *Network) Inside(run func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with this goroutine
		network, err := os.Open(filepath.Join("/run/netns", n.name))
		if err == nil {
			defer network.Close()
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = run()
		}
		done <- err
	}()
	return <-done
}

// nobody is the address of no network card: what is sent there is dropped, and nobody is told.
const nobody = "02:00:00:00:00:00"

// Cut drops what is sent to the server over a link, what the server sends, or both.
func (n *Network) Cut(t testing.TB, link int, there, back bool) {
	t.Helper()
	if there {
		run(t, "ip", "neighbour", "replace", n.Addr(link), "lladdr", nobody, "dev", n.device())
	}
	if back {
		run(t, "ip", "-n", n.name, "neighbour", "replace", n.Client(link), "lladdr", nobody, "dev", n.device())
	}
}

// Mend has a link work again.
func (n *Network) Mend(t testing.TB, link int) {
	t.Helper()
	run(t, "ip", "neighbour", "flush", "to", n.Addr(link), "dev", n.device(), "nud", "all")
	run(t, "ip", "-n", n.name, "neighbour", "flush", "to", n.Client(link), "dev", n.device(), "nud", "all")
}
