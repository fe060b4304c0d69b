//go:build !race

package harness

// RaceEnabled makes Caddy race-enabled like the tests.
const RaceEnabled = false
