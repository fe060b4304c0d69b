package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/app"
)

// startTrial tries what a config with these handlers tries when it starts, on a
// disk that fails as asked for.
func startTrial(t *testing.T, d disk, handlers ...*Handler) (warnings []string, err error) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	config := new(app.App)
	for _, h := range handlers {
		h.pool = newPool(d, maxOpen)
		h.logger = zap.New(core)
		err = errors.Join(err, startCheck{h, config}.Start())
	}
	for _, e := range logs.All() {
		reason, _ := e.ContextMap()["error"].(string)
		warnings = append(warnings, e.Message+" "+reason)
	}
	return warnings, err
}

// refusing is a disk that refuses to do some things.
type refusing struct {
	osDisk
	mkdir, create, open, write error
}

func (d refusing) Mkdir(name string, mode fs.FileMode) error {
	if d.mkdir != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: d.mkdir}
	}
	return d.osDisk.Mkdir(name, mode)
}

func (d refusing) OpenFile(name string, flag int, mode fs.FileMode) (diskFile, error) {
	err := d.open
	if flag&os.O_CREATE != 0 {
		err = d.create
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := d.osDisk.OpenFile(name, flag, mode)
	return fullFile{f, d.write}, err
}

type fullFile struct {
	diskFile
	err error
}

func (f fullFile) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.diskFile.Write(p)
}

// TestPathThatCannotBeWrittenIsToldAtStart keeps a Caddy from saying that it
// serves when every delivery would be answered with 503.
func TestPathThatCannotBeWrittenIsToldAtStart(t *testing.T) {
	t.Parallel()
	files := func(h *Handler) { h.Layout = layoutFiles }
	rolled := func(h *Handler) { h.Roll.Size = 1 << 20 }
	for name, tc := range map[string]struct {
		path   string // below a directory with the file "plain" and the directory "dir"
		adjust func(*Handler)
		disk   refusing
		err    string // at start
		warns  string
	}{
		"new file":                  {path: "new/events.jsonl"},
		"file that is there":        {path: "plain"},
		"new directory":             {path: "new/events", adjust: files},
		"directory that is there":   {path: "dir", adjust: files},
		"path of an event":          {path: "new/{instagram.field}.jsonl"},
		"directory of an event":     {path: "new/a{instagram.account}/events", adjust: files},
		"a directory, as lines":     {path: "dir", err: "it is a directory"},
		"a file, as files":          {path: "plain", adjust: files, err: "it is a file"},
		"below a file":              {path: "plain/events.jsonl", err: "not a directory"},
		"event's, below a file":     {path: "plain/{instagram.field}.jsonl", err: "not a directory"},
		"no directory can be made":  {path: "new/events.jsonl", disk: refusing{mkdir: syscall.EACCES}, err: "Caddy runs as the user"},
		"nor for an event's path":   {path: "new/{instagram.field}.jsonl", disk: refusing{mkdir: syscall.EACCES}, err: "Caddy runs as the user"},
		"nor for files":             {path: "new", adjust: files, disk: refusing{mkdir: syscall.EROFS}, err: "read-only"},
		"no file can be made":       {path: "dir/events.jsonl", disk: refusing{create: syscall.EACCES}, err: "permission denied"},
		"nor in the layout files":   {path: "dir", adjust: files, disk: refusing{create: syscall.EROFS}, err: "read-only"},
		"nor for an event, perhaps": {path: "dir/{instagram.field}.jsonl", disk: refusing{create: syscall.EACCES}, warns: "permission denied"},
		"the file may not be read":  {path: "plain", disk: refusing{open: syscall.EACCES}, err: "permission denied"},
		"only the file is writable": {path: "plain", disk: refusing{create: syscall.EACCES}},
		"but it is to be rolled":    {path: "plain", adjust: rolled, disk: refusing{create: syscall.EACCES}, warns: "permission denied"},
		"the disk is full":          {path: "plain", disk: refusing{write: syscall.ENOSPC}, warns: "no space left"},
		"full, no directory":        {path: "new/events.jsonl", disk: refusing{mkdir: syscall.ENOSPC}, warns: "no space left"},
		"over quota":                {path: "dir", adjust: files, disk: refusing{write: syscall.EDQUOT}, warns: "quota"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "dir"), 0o700), os.WriteFile(filepath.Join(dir, "plain"), []byte("{}\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
			adjust := func(h *Handler) {
				if tc.adjust != nil {
					tc.adjust(h)
				}
				if !h.Roll.isZero() {
					h.Path += ".jsonl"
				}
			}
			if tc.path == "plain" {
				if err := os.WriteFile(filepath.Join(dir, "plain.jsonl"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := provisioned(t, filepath.Join(dir, filepath.FromSlash(tc.path)), adjust)
			warnings, err := startTrial(t, tc.disk, h)
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got the error %v, want %q", err, tc.err)
			}
			if (len(warnings) == 1) != (tc.warns != "") || tc.warns != "" && !strings.Contains(warnings[0], tc.warns) {
				t.Errorf("got the warnings %q, want %q", warnings, tc.warns)
			}
			left := 0
			_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() && strings.HasPrefix(entry.Name(), ".") {
					left++
				}
				return err
			})
			if left > 0 {
				t.Error("the check left a file")
			}
		})
	}
}

// TestSamePathIsTriedOnce: a piece of a Caddyfile that several sites import.
func TestSamePathIsTriedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	warnings, err := startTrial(t, refusing{write: syscall.ENOSPC}, provisioned(t, path), provisioned(t, path))
	if err != nil || len(warnings) != 1 {
		t.Errorf("got %v, %q", err, warnings)
	}
}
