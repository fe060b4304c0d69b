package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestFreeIsWhatAcceptFinds keeps a start from being silent about deliveries that
// will be refused, and from warning of some that will not.
func TestFreeIsWhatAcceptFinds(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "queue.db"), zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	free, err := s.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Other programs use the disk meanwhile.
	const leeway = 1 << 30
	accept := func(least int64) error {
		_, err := s.Accept(t.Context(), []queue.Record{{Identity: "a", Body: []byte("{}")}}, queue.Admission{MinFree: least})
		return err
	}
	if err := accept(free + leeway); !errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v with more than what is free", err)
	}
	if err := accept(max(free-leeway, 0)); err != nil {
		t.Errorf("got %v with less than what is free", err)
	}
}
