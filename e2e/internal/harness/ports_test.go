package harness

import "testing"

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
