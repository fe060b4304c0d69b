// Package piece names pieces of event files. When lines of a file were erased while a gateway
// wrote to it, and began a new file, the lines so far are in a piece of their own beside it.
//
// Its name is not that of a rolled file: it would count as one for roll_keep, and take the
// place of another.
package piece

import (
	"path/filepath"
	"strings"
	"time"
)

// suffix stands before the extension of a piece.
const suffix = "-forget"

const layout = "2006-01-02T15-04-05.000"

// Name returns the path of a piece of a file: `events.2026-11-30T12-00-00.000-forget.jsonl` of
// `events.jsonl`.
func Name(path string, t time.Time) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "." + t.UTC().Format(layout) + suffix + ext
}

// Time returns when a piece of the file at path was made, by the name of the piece.
func Time(name, path string) (t time.Time, ok bool) {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	name, hasPrefix := strings.CutPrefix(name, strings.TrimSuffix(base, ext)+".")
	name, hasSuffix := strings.CutSuffix(name, suffix+ext)
	t, err := time.Parse(layout, name)
	return t, hasPrefix && hasSuffix && err == nil
}
