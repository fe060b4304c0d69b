package sqlite

import (
	"go.uber.org/zap"
)

const (
	// checkpointAfter is how many pages the write-ahead log may have before a checkpoint.
	checkpointAfter = 8000

	// maxLog is how long the file of the log may stay after it grew as somebody read for long.
	maxLog = 64 << 20
)

// onCommit asks for a checkpoint when the write-ahead log is long. The caller holds mu.
func (s *Store) onCommit(pages int) {
	if s.logged = int64(pages) * pageSize; !s.isLong() {
		return
	}
	select {
	case s.checkpoint <- struct{}{}:
	default:
	}
}

// isLong reports whether the log is long, or, while somebody reads, has grown as much since
// the last checkpoint.
func (s *Store) isLong() bool { return s.logged > int64(s.read+checkpointAfter)*pageSize }

// checkpoints makes a checkpoint each time that the write-ahead log has become long,
// until the store is closed.
func (s *Store) checkpoints() {
	defer close(s.ended)
	for {
		select {
		case <-s.checkpoint:
		case <-s.life.Done():
			return
		}
		if err := s.checkpointNow(); err != nil && !s.isClosed() {
			s.logger().Warn("a checkpoint of the queue failed: its write-ahead log grows", zap.String("path", s.path), zap.Error(err))
		}
	}
}

// checkpointNow moves most of the write-ahead log to the file while commits go on, and
// the rest while none does: then the next commit begins the log anew.
func (s *Store) checkpointNow() error {
	if err := s.aside(s.life, func(db *conn) error {
		_, err := db.checkpoint(false)
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	return s.checkpointHere()
}

// checkpointHere makes a checkpoint while there is no commit. The caller holds mu.
func (s *Store) checkpointHere() error {
	return s.guarded(func() error {
		left, err := s.db.checkpoint(false)
		if err == nil {
			if s.read = 0; left > 0 {
				s.read = int(s.logged / pageSize)
			}
			s.logged = int64(left) * pageSize
		}
		return err
	})
}

// makeRoom makes room on a full disk, so that events can be settled. The caller holds mu.
func (s *Store) makeRoom() {
	if !s.reserve.gone() {
		s.logger().Error("the disk is full: nothing is accepted until there is room. What was set aside is used to settle events",
			zap.String("path", s.path))
	}
	err := s.reserve.remove()
	if err == nil {
		err = s.usable()
	}
	if err == nil { // after a checkpoint the log begins anew, and needs no more room
		err = s.checkpointHere()
	}
	if err != nil {
		s.logger().Warn("making room for the queue failed", zap.String("path", s.path), zap.Error(err))
	}
}
