package queue

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestTooLittleSpaceIsToldAtStart keeps it from being told only when the first
// delivery is refused.
func TestTooLittleSpaceIsToldAtStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		free, least int64
		warns       bool
	}{{100 << 20, 100 << 20, false}, {100<<20 - 1, 100 << 20, true}, {-1, 1, true}, {0, 0, false}} {
		core, logs := observer.New(zap.DebugLevel)
		q := &runner{
			handler: &Handler{MinFreeSpace: &tc.least},
			store:   &SharedStore{Store: &stubStore{free: tc.free}, name: "a store"},
			logger:  zap.New(core),
		}
		q.warnOfSpace()
		if (logs.Len() == 1) != tc.warns {
			t.Errorf("%d free of %d: %d lines", tc.free, tc.least, logs.Len())
		}
		for _, e := range logs.All() {
			if fields := e.ContextMap(); e.Level != zap.WarnLevel || fields["store"] != "a store" || fields["min_free_space"] == "" || fields["free"] == "" {
				t.Errorf("%s %v", e.Level, fields)
			}
		}
	}
}
