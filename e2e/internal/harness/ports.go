package harness

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// ports are given out from a block that this process has for itself as long as it
// lives, so that no two tests get the same, not even of two runs at the same time.
var ports struct {
	sync.Mutex
	next, end int
	blocks    []net.Listener // on the first port of each block

	// Before the first process is started, package os forks once without a lock, which also
	// copies listeners. It does so as well when it is asked for a process.
	forked sync.Once
}

// The blocks lie below the ports that systems take for outgoing connections, so
// that none of those gets one first.
const (
	firstPort = 12000
	blocks    = 19
	blockSize = 1000
)

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := findPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// FreeAddr returns an address of 127.0.0.1 that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return address(FreePort(t))
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func findPort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	ports.forked.Do(func() { _, _ = os.FindProcess(os.Getpid()) })
	for range 2 * blockSize {
		if ports.next == ports.end && !nextBlock() {
			break
		}
		port := ports.next
		ports.next++
		if isFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, firstPort+blocks*blockSize)
}

// nextBlock takes a block that no other process has, or, if there is none, begins
// again with the one that has been in use longest.
func nextBlock() bool {
	for i := range blocks {
		first := firstPort + (os.Getpid()+i)%blocks*blockSize
		if guard, err := listen(first); err == nil {
			ports.blocks = append(ports.blocks, guard)
			ports.next, ports.end = first+1, first+blockSize
			return true
		}
	}
	if len(ports.blocks) == 0 {
		return false
	}
	oldest := ports.blocks[0]
	ports.blocks = append(ports.blocks[1:], oldest)
	first := oldest.Addr().(*net.TCPAddr).Port
	ports.next, ports.end = first+1, first+blockSize
	return true
}

// awaitForks returns once what was closed is hardly in use any more, such as the port of a
// listener: a process that is just being started has a copy of it until it runs its program.
func awaitForks() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}

func listen(port int) (net.Listener, error) { return net.Listen("tcp", address(port)) }
