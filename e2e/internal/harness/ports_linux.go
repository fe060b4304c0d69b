package harness

import "syscall"

// isFree reports whether nobody listens on a port. No process is started meanwhile: it
// would have a copy of the listener until some time after it runs its program.
func isFree(port int) bool {
	syscall.ForkLock.RLock() // package net does not take it on Linux
	defer syscall.ForkLock.RUnlock()
	listener, err := listen(port)
	return err == nil && listener.Close() == nil
}
