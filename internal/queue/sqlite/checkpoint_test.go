package sqlite

import "testing"

// TestLogWhileSomebodyReads has somebody read for long, as a backup does: the write-ahead
// log grows, but is not copied in vain after each commit, and gives its room back afterwards.
func TestLogWhileSomebodyReads(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	reader, err := connect(s.path, readOnly, readerCache)
	if err == nil {
		err = reader.script("BEGIN; SELECT count(*) FROM event")
	}
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := func() (left int64) {
		t.Helper()
		err := s.checkpointNow()
		for isBusy(err) { // the store makes one just now
			err = s.checkpointNow()
		}
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.logged
	}
	big := record("big", "")
	big.Body = make([]byte, maxLog+maxLog/4)
	accept(t, s, big)
	if checkpoint() == 0 {
		t.Error("nobody was in the way of the checkpoint: this test shows nothing")
	}
	accept(t, s, record("small", ""))
	s.mu.Lock()
	if s.isLong() {
		t.Error("each commit asks for a checkpoint")
	}
	s.mu.Unlock()
	if err := reader.close(); err != nil {
		t.Fatal(err)
	}
	if left := checkpoint(); left != 0 {
		t.Errorf("%d bytes were left by the checkpoint", left)
	}
	accept(t, s, record("after", ""))
	if n, err := size(s.path + walSuffix); err != nil || n > maxLog {
		t.Errorf("the log has %d MiB, %v", n>>20, err)
	}
}
