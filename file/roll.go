package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/caddyserver/caddy/v2"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/syncdir"
)

// Roll says when a file is moved aside for a new one, and what becomes of the
// old ones. The names mean what they mean in Caddy's file log writer, except
// that nothing is done, and above all nothing deleted, unless it is asked for.
// A rolled file has the time in its name: `events-2026-11-23T17-00-00.000-size.jsonl`.
type Roll struct {
	// Size is about the size in bytes that a file may have: what would make it
	// larger begins a new one. Default: no limit.
	Size int64 `json:"size,omitempty"`

	// Interval is how long a file is written to. Intervals are counted from
	// midnight UTC: `24h` begins a new file each day. Default: for ever.
	Interval caddy.Duration `json:"interval,omitempty"`

	// At are times of day, such as `00:00`, in UTC, or in the local time zone
	// if LocalTime is set.
	At []string `json:"at,omitempty"`

	// LocalTime uses the local time zone for At and for the names of rolled
	// files.
	LocalTime bool `json:"local_time,omitempty"`

	// Keep is how many rolled files are kept. Default: all.
	Keep int `json:"keep,omitempty"`

	// KeepFor is how long rolled files are kept, in days rounded up. Default:
	// for ever.
	KeepFor caddy.Duration `json:"keep_for,omitempty"`

	// Compression is how rolled files are compressed: `none`, `gzip` or
	// `zstd`. Default: `none`.
	Compression string `json:"compression,omitempty"`
}

// days returns KeepFor in days.
func (r *Roll) days() int { return int(math.Ceil(time.Duration(r.KeepFor).Hours() / 24)) }

func (r *Roll) isZero() bool { return reflect.ValueOf(r).Elem().IsZero() }

func (r *Roll) validate() error {
	switch {
	case r.Size < 0 || r.Interval < 0 || r.Keep < 0 || r.KeepFor < 0:
		return errors.New("roll: sizes, numbers and durations must not be negative")
	case r.Size == 0 && r.Interval == 0 && len(r.At) == 0 && !r.isZero():
		return errors.New("roll: say when to roll, by roll_size, roll_interval or roll_at")
	}
	for _, at := range r.At {
		if _, err := time.Parse("15:04", at); err != nil {
			return fmt.Errorf("roll_at %q is not a time of day such as 00:00", at)
		}
	}
	return option.OneOf("roll_compression", r.Compression, "none", "gzip", "zstd")
}

// due returns why a file must be rolled before more bytes are written, or "".
func (r *Roll) due(size, more int64, lastWrite, now time.Time) string {
	switch {
	case size == 0:
		return ""
	case r.Size > 0 && size+more > r.Size:
		return "size"
	case r.Interval > 0 && lastWrite.Truncate(time.Duration(r.Interval)).Before(now.Truncate(time.Duration(r.Interval))):
		return "time"
	}
	if r.LocalTime {
		now = now.Local()
	} else {
		now = now.UTC()
	}
	for _, at := range r.At {
		clock, err := time.Parse("15:04", at)
		if err != nil {
			continue // validate refuses these
		}
		mark := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if mark.After(now) {
			mark = mark.AddDate(0, 0, -1)
		}
		if lastWrite.Before(mark) {
			return "time"
		}
	}
	return ""
}

// roll moves the file at path aside, and deletes and compresses rolled files
// as asked for. The file must be closed and all of it on disk.
func (h *Handler) roll(path, reason string) error {
	r := &h.Roll
	outdated, err := r.outdated(path, time.Now())
	if err != nil {
		return err
	}
	roller := &timberjack.Logger{
		Filename:    path,
		MaxBackups:  r.Keep,
		MaxAge:      r.days(),
		LocalTime:   r.LocalTime,
		Compression: "none", // it deletes the original before the copy is on disk
		FileMode:    h.mode(),
	}
	// Closing waits until old files are deleted.
	if err := errors.Join(roller.RotateWithReason(reason), roller.Close()); err != nil {
		return err
	}
	for _, name := range outdated {
		if err := os.Remove(name); err != nil {
			h.logger.Error("deleting a piece of a file", zap.String("path", name), zap.Error(err))
		}
	}
	if c, ok := compressors[r.Compression]; ok {
		go func() {
			if err := c.compressRolled(path); err != nil {
				h.logger.Error("compressing rolled files", zap.String("path", path), zap.Error(err))
			}
		}()
	}
	return nil
}

// validateRolled refuses a path whose rolled files could not be told from
// others.
func validateRolled(p path) error {
	switch ext := filepath.Ext(p.texts[len(p.texts)-1]); ext {
	case "", ".gz", ".zst":
		return errors.New("rolling needs a path that ends in something like .jsonl")
	}
	return nil
}

// compressing holds the paths whose rolled files are being compressed. What is
// rolled meanwhile is compressed after the next roll.
var compressing sync.Map

type compressor struct {
	suffix string
	writer func(io.Writer) (io.WriteCloser, error)
}

var compressors = map[string]compressor{
	"gzip": {".gz", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }},
	"zstd": {".zst", func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
}

// rolledLayout is the time in the name of a rolled file.
const rolledLayout = "2006-01-02T15-04-05.000"

// rolledAt returns when the file at path was rolled into the one of this name, which may be
// compressed since.
func rolledAt(name, path string, zone *time.Location) (at time.Time, ok bool) {
	ext := filepath.Ext(path)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(filepath.Base(path), ext)+"-")
	if !ok || len(rest) < len(rolledLayout) || !strings.Contains(rest, ext) {
		return at, false
	}
	at, err := time.ParseInLocation(rolledLayout, rest[:len(rolledLayout)], zone)
	return at, err == nil
}

// compressRolled compresses the rolled files of path that are not compressed
// yet, those that a crash left behind too.
func (c compressor) compressRolled(path string) error {
	if _, running := compressing.LoadOrStore(path, true); running {
		return nil
	}
	defer compressing.Delete(path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		_, ok := rolledAt(entry.Name(), path, time.UTC)
		if !ok || !entry.Type().IsRegular() || filepath.Ext(entry.Name()) != filepath.Ext(path) {
			continue
		}
		err := c.compress(filepath.Join(filepath.Dir(path), entry.Name()))
		if !errors.Is(err, fs.ErrNotExist) { // another roll has deleted it
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// compress replaces a file by its compressed form, which is on disk before the
// original is deleted.
func (c compressor) compress(path string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	temporary := path + c.suffix + ".tmp"
	to, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	err = to.Chmod(info.Mode().Perm())
	w, err2 := c.writer(to)
	if err = errors.Join(err, err2); err == nil {
		_, err = io.Copy(w, from)
		err = errors.Join(err, w.Close())
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path+c.suffix); err != nil {
		return err
	}
	if err := syncdir.Sync(filepath.Dir(path)); err != nil {
		return err
	}
	return os.Remove(path)
}
