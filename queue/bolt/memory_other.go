//go:build !linux

package bolt

import (
	"runtime"

	bbolt "go.etcd.io/bbolt"
)

// mapsSparsely tells that a file can be mapped beyond its end.
const mapsSparsely = runtime.GOOS != "windows"

// reclaim does nothing: this system decides by itself what is in memory.
func reclaim(*bbolt.Tx) error { return nil }

// readAhead does nothing: this system decides by itself what it reads ahead.
func readAhead(string, int64) {}
