//go:build race

package harness

// raceEnabled makes Caddy race-enabled like the tests.
const raceEnabled = true
