package harness

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// TestPortsAreNotGivenToAnotherRun looks for what keeps another process out of the
// block.
func TestPortsAreNotGivenToAnotherRun(t *testing.T) {
	port := FreePort(t)
	first := port - (port-firstPort)%blockSize
	if listener, err := listen(first); err == nil {
		_ = listener.Close()
		t.Errorf("port %d was given out, but another process can take its block", port)
	}
}

// TestPortsAreFreeWhileProcessesStart listens on ports as soon as they are given out,
// while other tests start processes.
func TestPortsAreFreeWhileProcessesStart(t *testing.T) {
	done := make(chan struct{})
	var starting sync.WaitGroup
	defer starting.Wait()
	defer close(done)
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := exec.Command(os.Args[0], "-test.list=^$").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 300 {
		listener, err := net.Listen("tcp", FreeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
	}
}
