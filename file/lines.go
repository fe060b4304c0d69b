package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/commit"
	"github.com/caddy-instagram/webhooks/internal/symlink"
)

// lines is a file that events are appended to, one line each. A line counts as
// written once it is on disk, together with the entry of the file in its
// directory.
//
// After any failure the file is truncated to its size before, closed, and
// reopened for the next batch: a descriptor cannot be trusted after a failed
// fsync.
type lines struct {
	path    string
	disk    disk
	handler atomic.Pointer[Handler] // the one that used the file last
	group   *commit.Group[[]record]

	// Only used by the batch under way.
	file      diskFile  // nil: to be opened
	torn      bool      // the last line lacks its line feed
	lastWrite time.Time // to the file, by an earlier process too
	rollAfter time.Time // after a failure to roll
}

func newLines(path string, d disk) *lines {
	l := &lines{path: path, disk: d}
	l.group = commit.NewGroup(l.commit)
	return l
}

func (l *lines) configure(h *Handler) { l.handler.Store(h) }

func (l *lines) add(records []record) error { return l.group.Do(records) }

// close closes the file. There must be no batch under way.
func (l *lines) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *lines) commit(batch [][]record) error {
	text := borrow(&gathered)
	defer giveBack(text, &gathered)
	for _, records := range batch {
		for _, r := range records {
			*text = append(append(*text, r.data...), '\n')
		}
	}
	err := l.writeInPlace(*text)
	if err != nil {
		err = errors.Join(err, l.close())
	}
	return err
}

// maxMoves is how often the file may be moved away while a batch is written.
const maxMoves = 5

// writeInPlace writes text until the file with it is the one at the path. Whoever
// moved the file away meanwhile may have read it to its end before the text was
// there, so it goes to the new file as well.
func (l *lines) writeInPlace(text []byte) error {
	for range maxMoves {
		if err := l.write(text); err != nil {
			return err
		}
		if there, err := l.inPlace(); there || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was moved away %d times while it was written", l.path, maxMoves)
}

// write appends text to the file with one write, and syncs it.
func (l *lines) write(text []byte) error {
	there, err := l.inPlace()
	if err == nil && !there {
		if err = l.close(); err == nil {
			err = l.open()
		}
	}
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	h, now := l.handler.Load(), time.Now()
	reason := h.Roll.due(info.Size(), int64(len(text)), l.lastWrite, now)
	if reason != "" && !now.Before(l.rollAfter) {
		if err := l.roll(h, reason); err != nil {
			return err
		}
		if info, err = l.file.Stat(); err != nil {
			return err
		}
	}
	if l.torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := l.file.Write(text)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.truncate(info.Size(), int64(n)))
	}
	l.torn, l.lastWrite = false, now
	return nil
}

// truncate removes the n bytes that a failed write left after size, unless
// somebody else has written after them.
func (l *lines) truncate(size, n int64) error {
	info, err := l.file.Stat()
	if err != nil || info.Size() != size+n {
		return err
	}
	return l.file.Truncate(size)
}

// inPlace reports whether the open file is the one at the path: another program
// may have rotated it.
func (l *lines) inPlace() (bool, error) {
	if l.file == nil {
		return false, nil
	}
	there, err := l.disk.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	here, err := l.file.Stat()
	return err == nil && os.SameFile(there, here), err
}

// open opens or creates the file, and puts its entry on disk.
func (l *lines) open() error {
	const flags = os.O_RDWR | os.O_APPEND // reading is for the last line feed
	mode := l.handler.Load().mode()
	file, err := l.disk.OpenFile(l.path, flags, 0)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		if err := makeDirs(l.disk, filepath.Dir(l.path), mode); err != nil {
			return err
		}
		file, err = l.disk.OpenFile(l.path, flags|os.O_CREATE, mode)
	}
	if err != nil {
		return err
	}
	if err := l.inspect(file, created, mode); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file = file
	return nil
}

// inspect learns the state of a file just opened.
func (l *lines) inspect(file diskFile, created bool, mode fs.FileMode) error {
	if created {
		if err := file.Chmod(mode); err != nil { // whatever the umask
			return err
		}
	}
	if err := syncDirs(l.disk, filepath.Dir(l.target())); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", l.path)
	}
	l.lastWrite, l.torn = info.ModTime(), false
	if size := info.Size(); size > 0 {
		var last [1]byte
		if _, err := file.ReadAt(last[:], size-1); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		l.torn = !bytes.Equal(last[:], []byte{'\n'})
	}
	return nil
}

// target returns the file: as a symbolic link, the path stays, and the directory of what it
// leads to has the entry that must be on disk, and gets the rolled files.
func (l *lines) target() string {
	target, err := symlink.Follow(l.path)
	if err != nil {
		return l.path // opening it tells what is wrong
	}
	return target
}

// rollAgain is how long after a failure rolling is tried again.
const rollAgain = time.Minute

// roll moves the file aside and opens a new one. If it cannot be moved, the
// events still have to be written, so they go to the old one.
func (l *lines) roll(h *Handler, reason string) error {
	if err := l.close(); err != nil {
		return err
	}
	if err := h.roll(l.target(), reason); err != nil {
		l.rollAfter = time.Now().Add(rollAgain)
		h.logger.Error("rolling failed: events go on to the old file", zap.String("path", l.path), zap.Error(err))
	}
	return l.open()
}
