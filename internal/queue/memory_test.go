package queue

import "testing"

// NewMemory returns a store in memory with the default consumer. That imports this package: only its external
// tests can name it, and set this.
var NewMemory func() Store

// statsOf returns those of the default consumer.
func statsOf(t *testing.T, s Store) Stats {
	t.Helper()
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Error(err)
	}
	return StatsOf(stats, DefaultConsumer)
}
