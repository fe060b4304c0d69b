package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/freespace"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// migrations bring a file from one layout to the next: the first one from version 1 to
// version 2.
var migrations = []string{
	made("TABLE note") + made("INDEX note_message") + "DROP VIEW waiting;" + made("VIEW waiting"),
}

// made returns the statement of the schema that makes something.
func made(what string) string {
	_, rest, _ := strings.Cut(schema, "CREATE "+what+" ")
	statement, _, _ := strings.Cut(rest, ";\n")
	return "CREATE " + what + " " + statement + ";\n"
}

// migrate brings a file of an earlier layout to the present one. The file itself is never
// changed, and is kept beside the new one: a copy is migrated, which takes its place once it
// is whole and on disk. So a crash leaves the one or the other. Of the files that were kept,
// only the last one stays.
func (s *Store) migrate(version int64) error {
	if keptPath.MatchString(s.path) {
		return fmt.Errorf("%w: %s was kept by an upgrade, and stays as it is: to look into it, copy it", queue.ErrMigration, s.path)
	}
	began := time.Now()
	kept := fmt.Sprintf("%s.layout%d-%s", s.path, version, began.UTC().Format(keptTime))
	stop := s.logProgress(s.path + migratingSuffix)
	err := s.copyMigrated(s.path+migratingSuffix, version)
	stop()
	if err == nil {
		err = keepFile(s.path, kept)
	}
	if err == nil {
		err = s.replace(s.path + migratingSuffix)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s has version %d of the layout: %w", queue.ErrMigration, s.path, version, err)
		return errors.Join(err, removeMissing(s.path+migratingSuffix), removeSecondName(s.path, kept))
	}
	s.logger().Info("the queue was brought to the layout of this version, and its file before is kept: remove that once you will not go back",
		zap.String("path", s.path), zap.Int64("from", version), zap.Int("to", layoutVersion), zap.String("kept", kept),
		zap.Duration("took", time.Since(began)))
	return nil
}

// progressEvery is how often the log says how far a migration is. Caddy serves nothing
// before it is done.
const progressEvery = 5 * time.Second

// logProgress logs that the file is copied, and again and again how much of it is, until
// stop is called.
func (s *Store) logProgress(to string) (stop func()) {
	of, _ := size(s.path)
	log := func(copied int64) {
		s.logger().Info("copying the queue, to bring it to the layout of this version: Caddy starts once that is done",
			zap.String("path", s.path), zap.Int64("bytes", of), zap.Int64("copied", copied))
	}
	log(0)
	done := make(chan struct{})
	var logs sync.WaitGroup
	logs.Go(func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				copied, _ := size(to)
				log(copied)
			}
		}
	})
	return func() {
		close(done)
		logs.Wait()
	}
}

// copyMigrated makes a migrated copy. The file is closed in order before, so that it needs
// no write-ahead log.
func (s *Store) copyMigrated(to string, version int64) (err error) {
	if err := errors.Join(removeMissing(to), removeMissing(to+"-journal")); err != nil {
		return err
	}
	if s.db, err = connect(s.path, readWrite, readerCache); err == nil {
		err = s.guarded(func() error {
			err := s.ends()
			if isBusy(err) {
				err = fmt.Errorf("%w. Close that program: nothing may read the file meanwhile", err)
			}
			if err == nil {
				err = s.db.hasRoomForCopy()
			}
			if err == nil {
				err = s.db.copyTo(to)
			}
			return err
		})
	}
	if err = errors.Join(err, s.abandon()); err != nil {
		return err
	}
	db, err := connect(to, readWrite, readerCache)
	if err != nil {
		return err
	}
	err = db.guarded(func() error {
		steps := strings.Join(migrations[version-1:], "")
		return db.script(fmt.Sprintf("BEGIN; %s PRAGMA user_version = %d; COMMIT", steps, layoutVersion))
	})
	return errors.Join(err, db.close())
}

// hasRoomForCopy returns queue.ErrFull unless there is room for a copy of the file.
func (c *conn) hasRoomForCopy() error {
	pages, err := c.number("PRAGMA page_count")
	if err != nil {
		return err
	}
	free, err := c.number("PRAGMA freelist_count")
	if err != nil {
		return err
	}
	needed := (pages-free)*pageSize + reserveSize
	room, err := freespace.Of(filepath.Dir(c.path))
	if errors.Is(err, errors.ErrUnsupported) || err == nil && room >= needed {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: a copy beside it needs %d MB, and %d MB are free on the disk. Make room", queue.ErrFull, needed/1e6+1, room/1e6)
	}
	return err
}

// keepFile gives a file a second name. Where the file system has no links, it copies it.
func keepFile(path, kept string) error {
	if os.Link(path, kept) == nil {
		return syncdir.Sync(filepath.Dir(path))
	}
	return copyKept(path, kept)
}

func copyKept(path, kept string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	unfinished := kept + ".part"
	to, err := os.OpenFile(unfinished, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, keepAccess(to, path), to.Sync(), to.Close()); err == nil {
		err = os.Rename(unfinished, kept)
	}
	if err != nil {
		return errors.Join(err, removeMissing(unfinished))
	}
	return syncdir.Sync(filepath.Dir(path))
}

// removeSecondName removes the name of a file that was to be kept, but is still the queue's.
func removeSecondName(path, kept string) error {
	a, errA := os.Stat(path)
	b, errB := os.Stat(kept)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return nil
	}
	return removeMissing(kept)
}

// replace puts a new file in the place of the queue's, which is closed.
func (s *Store) replace(with string) error {
	f, err := os.Open(with)
	if err != nil {
		return err
	}
	if err = errors.Join(keepAccess(f, s.path), f.Sync(), f.Close()); err == nil {
		err = os.Rename(with, s.path)
	}
	if err != nil {
		return err
	}
	return syncdir.Sync(filepath.Dir(s.path))
}

// keepAccess gives a file the owner and the mode of the queue: else Caddy could not open
// what root has written anew.
func keepAccess(f *os.File, queue string) error {
	keepOwner(f, queue)
	info, err := os.Stat(queue)
	if err != nil {
		return err
	}
	return f.Chmod(info.Mode().Perm())
}

// keptName is how the name of a file of an earlier layout goes on, or of one that was not
// finished: with the version and the time.
var (
	keptName = regexp.MustCompile(`^\.layout[0-9]+-([0-9]{8}T[0-9]{6}Z)(\.part)?$`)
	keptPath = regexp.MustCompile(`\.layout[0-9]+-[0-9]{8}T[0-9]{6}Z$`)
)

const keptTime = "20060102T150405Z"

type keptFile struct {
	path string
	at   time.Time
}

// keptFiles returns the files of earlier layouts, the last one at the end.
func keptFiles(path string) (all []keptFile, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		rest, found := strings.CutPrefix(e.Name(), filepath.Base(path))
		name := keptName.FindStringSubmatch(rest)
		if !found || name == nil {
			continue
		}
		if at, err := time.Parse(keptTime, name[1]); err == nil {
			all = append(all, keptFile{filepath.Join(filepath.Dir(path), e.Name()), at})
		}
	}
	slices.SortFunc(all, func(a, b keptFile) int { return a.at.Compare(b.at) })
	return all, nil
}

// keptAtLeast is how long a file of an earlier layout is kept, even if dead letters are not.
const keptAtLeast = 7 * 24 * time.Hour

// removeKept removes the files of earlier layouts that are older than a time, and of the
// others all but the last few.
func (s *Store) removeKept(last int, before time.Time) error {
	all, err := keptFiles(s.path)
	for n, kept := range all {
		if n >= len(all)-last && !kept.at.Before(before) {
			continue
		}
		failed := removeMissing(kept.path)
		if failed == nil {
			s.logger().Info("the file of an earlier layout of the queue was removed", zap.String("path", kept.path))
		}
		err = errors.Join(err, failed)
	}
	return err
}

// expireKept removes the file of an earlier layout once its dead letters would be forgotten
// in the queue.
func (s *Store) expireKept(retention queue.Retention) error {
	return s.removeKept(1, time.Now().Add(-max(retention.Dead, retention.Delivered, keptAtLeast)))
}
