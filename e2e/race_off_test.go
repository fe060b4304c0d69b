//go:build !race

package e2e

// raceEnabled makes the gateways race-enabled like the tests.
const raceEnabled = false
