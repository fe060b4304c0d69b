//go:build !linux

package harness

// isFree reports whether nobody listens on a port.
func isFree(port int) bool {
	listener, err := listen(port)
	return err == nil && listener.Close() == nil
}
