package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-instagram/webhooks/internal/piece"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// forgettingSuffix is that of a file that is moved away while its new form takes its place, and
// copySuffix that of the new form. The paths of both are found by the pattern `*.jsonl*`.
const (
	forgettingSuffix = ".forgetting"
	copySuffix       = forgettingSuffix + "-*"
)

// errMoved is the error for a file that is not at its path any more. Nothing was erased.
var errMoved = errors.New("it was moved away")

// rewriting replaces the lines of a file that hold somebody.
type rewriting struct {
	file    *os.File
	codec   *codec
	erasure *queue.Erasure

	to    *replacement
	count int // of the lines that were erased, once the new file is in its place
}

// closed rewrites a file that nobody writes to, and returns what it is called now.
func (w *rewriting) closed(ctx context.Context) (now string, err error) {
	now = w.file.Name()
	if w.to, err = replaceFileBy(now, "", copySuffix); err != nil {
		return now, err
	}
	defer w.to.discard()
	n, err := w.copy(ctx)
	switch {
	case err != nil:
		return now, err
	case !isAt(w.file, now):
		return now, errMoved
	}
	if err = w.to.commit(nil); err == nil {
		w.count = n
	}
	return now, err
}

// open rewrites a file that a gateway may be writing to, and returns what it is called now.
//
// The new file is written first, so that what fails by then changes nothing. Then the old one
// is moved away: whoever writes to it notices, and goes on with another one, to which also
// goes what was being written. When there is one, the lines so far stay beside it.
func (w *rewriting) open(ctx context.Context) (now string, err error) {
	path := w.file.Name()
	if isBeingCompressed(path) {
		return path, errors.New("it is being compressed: try again in a while")
	}
	if w.to, err = replaceFileBy(path, "", copySuffix); err != nil {
		return path, err
	}
	defer w.to.discard()
	before, err := w.file.Stat()
	if err != nil {
		return path, err
	}
	n, err := w.copy(ctx)
	if err != nil {
		return path, err
	}
	aside := path + forgettingSuffix
	switch err := os.Rename(path, aside); {
	case errors.Is(err, fs.ErrNotExist):
		return path, errMoved
	case err != nil:
		return path, err
	}
	if isAt(w.file, aside) {
		err = w.replace(aside, before, n)
	} else {
		err = errMoved // this is a new one
	}
	now, backErr := putBack(aside, path)
	switch {
	case backErr != nil:
		err = errors.Join(err, backErr)
	case err != nil && now != path:
		err = fmt.Errorf("%w; the lines so far are in %s", err, now)
	}
	if now != path && err != nil {
		err = &failure{exitPartial, err}
	}
	if isBeingCompressed(path) {
		err = errors.Join(err, &failure{exitPartial, errors.New("it is being compressed, as it was: run this again in a while")})
	}
	return now, errors.Join(err, syncdir.Sync(filepath.Dir(path)))
}

// replace replaces the file, which is called aside now, by its copy with n lines erased. If
// something was written to it since, it is copied again: only now is it known where it ends.
func (w *rewriting) replace(aside string, before os.FileInfo, n int) error {
	after, err := w.file.Stat()
	if err != nil {
		return err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		if n, err = w.copy(context.Background()); err != nil { // to be interrupted, it is too late
			return err
		}
	}
	w.to.target = aside
	if err := w.to.commit(nil); err != nil {
		return err
	}
	w.count = n
	return nil
}

// putBack gives the file called aside its path again, or a name beside it if there is another
// one at the path, and returns what it is called now.
func putBack(aside, path string) (now string, err error) {
	err = os.Link(aside, path)
	if now = path; errors.Is(err, fs.ErrExist) {
		now = piece.Name(path, time.Now())
		err = os.Link(aside, now)
	}
	if err != nil {
		return aside, &failure{exitPartial, fmt.Errorf("its lines are in %s: %w", aside, err)}
	}
	return now, os.Remove(aside)
}

// isBeingCompressed reports whether a gateway is writing the compressed form of a file.
func isBeingCompressed(path string) bool {
	for _, suffix := range []string{".gz.tmp", ".zst.tmp"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			return true
		}
	}
	return false
}

// copy writes what the file is to become, and returns how many lines are erased in it.
func (w *rewriting) copy(ctx context.Context) (n int, err error) {
	for _, f := range []*os.File{w.file, w.to.File} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	var out io.WriteCloser = bufferedLines{bufio.NewWriter(w.to)}
	if w.codec != nil {
		if out, err = w.codec.writer(w.to); err != nil {
			return 0, err
		}
	}
	err = eachLine(ctx, w.file, w.codec, func(_ int, text []byte) error {
		line, end := text, ""
		if holds(text, &w.erasure.Subject) {
			n++
			line = withoutData(text, w.erasure)
			if bytes.HasSuffix(text, []byte("\n")) {
				end = "\n"
			}
		}
		_, err := out.Write(append(line, end...))
		return err
	})
	if err = errors.Join(err, out.Close()); err != nil {
		return 0, err
	}
	size, err := w.to.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return n, w.to.Truncate(size) // an earlier copy was longer
}
