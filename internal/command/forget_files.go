package command

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/simulate"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// forgottenLines is the result of forget with --files.
type forgottenLines struct {
	outcome
	Count  int          `json:"count"`
	DryRun bool         `json:"dry_run,omitempty"`
	Lines  []erasedLine `json:"lines,omitempty"` // of a dry run
	Files  []string     `json:"files,omitempty"` // that were written anew, as they are called now
}

// erasedLine is a line that holds somebody.
type erasedLine struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

func (r *forgottenLines) text(c *console) {
	for _, l := range r.Lines {
		c.printf("%s:%d\n", l.File, l.Line)
	}
	if r.DryRun {
		c.note("%s would be erased.", plural(r.Count, "line"))
		return
	}
	for _, name := range r.Files {
		c.printf("%s\n", name)
	}
	c.printf("%s erased.\n", plural(r.Count, "line"))
}

// forgetInFiles erases the lines of files that hold somebody, file by file.
func forgetInFiles(ctx context.Context, paths []string, e queue.Erasure) (result, error) {
	if len(paths) == 0 {
		return nil, errors.New("which files? Name them after --files")
	}
	e.At = time.Now()
	r := &forgottenLines{DryRun: e.DryRun}
	for i, path := range paths {
		err := ctx.Err()
		if err == nil {
			err = r.file(path, &e)
		}
		if err == nil {
			continue
		}
		if err = fmt.Errorf("%s: %w", path, err); i == 0 {
			return nil, withStatus(exitRefused, err)
		}
		return r, &failure{exitPartial, fmt.Errorf("%w (after it, nothing was done)", err)}
	}
	return r, nil
}

// file erases the lines of one file.
func (r *forgottenLines) file(path string, e *queue.Erasure) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	lines, err := holding(path, e)
	if r.Count += len(lines); err != nil || len(lines) == 0 {
		return err
	}
	if e.DryRun {
		for _, n := range lines {
			r.Lines = append(r.Lines, erasedLine{path, n})
		}
		return nil
	}
	now := path
	if codecOf(path) == nil {
		now, err = rewriteOpen(path, e)
	} else {
		err = rewrite(path, codecOf(path), e)
	}
	if err == nil {
		r.Files = append(r.Files, now)
	}
	return err
}

// holding returns the numbers of the lines of a file that hold somebody.
func holding(path string, e *queue.Erasure) (found []int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = eachLine(f, codecOf(path), func(n int, text []byte) error {
		if holds(text, &e.Subject) {
			found = append(found, n)
		}
		return nil
	})
	return found, err
}

// holds reports whether a line of an event file holds somebody.
func holds(text []byte, s *queue.Subject) bool {
	if s.User != "" && s.Holds(&queue.Record{Body: text}) {
		return true
	}
	body := simulate.Body(text)
	if body == nil {
		return false
	}
	for _, ev := range event.Split(body) {
		if s.Holds(&queue.Record{Account: ev.Account, Body: body}) {
			return true
		}
	}
	return false
}

// withoutData returns what is left of a line: the attributes of a CloudEvent, or the object
// of a delivery.
func withoutData(text []byte, e *queue.Erasure) []byte {
	var left struct {
		SpecVersion string `json:"specversion,omitempty"`
		ID          string `json:"id,omitempty"`
		Source      string `json:"source,omitempty"`
		Type        string `json:"type,omitempty"`
		Time        string `json:"time,omitempty"`
		Object      string `json:"object,omitempty"`
		Erased      string `json:"erased"`
		Because     string `json:"erasedbecause,omitempty"`
	}
	_ = json.Unmarshal(text, &left) // what cannot be read is left out
	left.ID = e.Left(queue.Record{Identity: left.ID}).Identity
	left.Source = e.Left(queue.Record{Identity: left.Source}).Identity
	left.Erased, left.Because = e.At.UTC().Format(time.RFC3339), e.Because
	line, _ := json.Marshal(left) // it is only strings
	return line
}

// forgettingSuffix is that of a file whose lines are being erased.
const forgettingSuffix = ".forgetting"

// rewriteOpen is rewrite for a file that a gateway may be writing to, and returns what it is
// called now. The file is moved away first: whoever writes to it notices, and goes on with a
// new one, to which also goes what was being written. When there is one, the old lines stay
// beside it.
func rewriteOpen(path string, e *queue.Erasure) (now string, err error) {
	for _, suffix := range []string{".gz.tmp", ".zst.tmp", forgettingSuffix} {
		switch _, err := os.Lstat(path + suffix); {
		case err == nil && suffix == forgettingSuffix:
			return "", fmt.Errorf("an earlier run was interrupted: its lines are in %s. Give that file first, then move it", path+suffix)
		case err == nil:
			return "", errors.New("it is being compressed: try again in a while")
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	compressed := compressedOf(path)
	aside := path + forgettingSuffix
	if err := os.Rename(path, aside); err != nil {
		return "", err
	}
	err = rewrite(aside, nil, e)
	now = path
	switch linkErr := os.Link(aside, path); {
	case linkErr == nil:
		err = errors.Join(err, os.Remove(aside))
	case errors.Is(linkErr, fs.ErrExist):
		ext := filepath.Ext(path)
		now = strings.TrimSuffix(path, ext) + "-" + e.At.UTC().Format("2006-01-02T15-04-05.000") + "-forget" + ext
		err = errors.Join(err, os.Rename(aside, now))
	default:
		err = errors.Join(err, fmt.Errorf("its lines are in %s: %w", aside, linkErr))
	}
	if also := compressedOf(path); also != compressed {
		err = errors.Join(err, fmt.Errorf("it was compressed meanwhile: give %s as well", also))
	}
	return now, errors.Join(err, syncdir.Sync(filepath.Dir(path)))
}

// compressedOf returns the path of the compressed form of a file, or "" if there is none.
func compressedOf(path string) string {
	for _, suffix := range []string{".gz", ".zst"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			return path + suffix
		}
	}
	return ""
}

// rewrite replaces the lines of a file that hold somebody.
func rewrite(path string, c *codec, e *queue.Erasure) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := replaceFile(path)
	if err != nil {
		return err
	}
	defer to.discard()
	var w io.WriteCloser = bufferedLines{bufio.NewWriter(to)}
	if c != nil {
		if w, err = c.writer(to); err != nil {
			return err
		}
	}
	err = eachLine(from, c, func(_ int, text []byte) error {
		line, end := text, ""
		if holds(text, &e.Subject) {
			line = withoutData(text, e)
			if bytes.HasSuffix(text, []byte("\n")) {
				end = "\n"
			}
		}
		_, err := w.Write(append(line, end...))
		return err
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return to.commit(nil)
}

// eachLine calls visit with the lines of a file, each with its line feed, and their numbers
// from 1.
func eachLine(f io.Reader, c *codec, visit func(n int, text []byte) error) error {
	if c != nil {
		r, err := c.reader(f)
		if err != nil {
			return err
		}
		defer r.Close()
		f = r
	}
	in := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if len(text) > 0 {
			if err := visit(n, text); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// codec is how a file is compressed.
type codec struct {
	reader func(io.Reader) (io.ReadCloser, error)
	writer func(io.Writer) (io.WriteCloser, error)
}

var codecs = map[string]*codec{
	".gz": {
		func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	},
	".zst": {
		func(r io.Reader) (io.ReadCloser, error) {
			z, err := zstd.NewReader(r)
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		},
		func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	},
}

// codecOf returns how a file is compressed by its name, or nil.
func codecOf(path string) *codec { return codecs[filepath.Ext(path)] }

// bufferedLines is a buffered writer that is flushed when it is closed.
type bufferedLines struct{ *bufio.Writer }

func (b bufferedLines) Close() error { return b.Flush() }
