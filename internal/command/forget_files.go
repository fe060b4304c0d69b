package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/piece"
	"github.com/caddy-instagram/webhooks/internal/queue"
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

// fileErasure erases lines of files.
type fileErasure struct {
	queue.Erasure
	found *forgottenLines

	paths []string        // of the files: those given, and then those that appeared meanwhile
	given int             // how many of them were given
	known map[string]bool // the paths of all files in their directories
}

// forgetInFiles erases the lines of files that hold somebody, file by file. Files into which
// these are rolled meanwhile come after them.
func forgetInFiles(ctx context.Context, paths []string, e queue.Erasure) (result, error) {
	if len(paths) == 0 {
		return nil, errors.New("which files? Name them after --files")
	}
	e.At = time.Now()
	f := &fileErasure{Erasure: e, found: &forgottenLines{DryRun: e.DryRun}, known: make(map[string]bool)}
	for _, path := range paths {
		if err := f.add(path); err != nil {
			return nil, withStatus(exitRefused, fmt.Errorf("%s: %w", path, err))
		}
	}
	f.given = len(f.paths)
	for i := 0; i < len(f.paths); i++ {
		err := f.file(ctx, f.paths[i])
		if err == nil && i == len(f.paths)-1 {
			err = f.addRolled()
		}
		if err == nil {
			continue
		}
		_, told := errors.AsType[*failure](err)
		if err = fmt.Errorf("%s: %w", f.paths[i], err); i == 0 && !told {
			return nil, withStatus(exitRefused, err)
		}
		return f.found, &failure{exitPartial, fmt.Errorf("%w (after it, nothing was done)", err)}
	}
	return f.found, nil
}

// add adds a file that was given. It follows symbolic links.
func (f *fileErasure) add(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(filepath.Dir(path), entry.Name())
		if err := leftover(name, path); err != nil {
			return err
		}
		f.known[name] = true
	}
	if !slices.Contains(f.paths, path) {
		f.paths = append(f.paths, path)
	}
	return nil
}

// leftover returns an error if the file called name is what an interrupted run has left of the
// one at path, or of any.
func leftover(name, path string) error {
	base, rest, found := strings.Cut(filepath.Base(name), forgettingSuffix)
	of := filepath.Join(filepath.Dir(name), base)
	switch {
	case !found || of != path && name != path:
		return nil
	case rest == "":
		return fmt.Errorf("an earlier run was interrupted, unless it is still at work: lines are in %s. Rename that to %s, and run this again",
			name, piece.Name(of, time.Now()))
	case strings.HasPrefix(rest, "-"):
		return fmt.Errorf("an earlier run was interrupted, unless it is still at work: %s is a copy that it made. Remove that, and run this again", name)
	}
	return nil
}

// addRolled adds the files into which those given were rolled, or compressed, since the last
// look.
func (f *fileErasure) addRolled() error {
	for _, path := range f.paths[:f.given] {
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			rolled := filepath.Join(filepath.Dir(path), entry.Name())
			if !f.known[rolled] && entry.Type().IsRegular() && isRolled(entry.Name(), filepath.Base(path)) {
				f.known[rolled] = true
				f.paths = append(f.paths, rolled)
			}
		}
	}
	return nil
}

// isRolled reports whether a name is what instagram_file or logrotate gives to the file called
// base when they roll or compress it.
func isRolled(name, base string) bool {
	ext := filepath.Ext(base)
	rest, found := strings.CutPrefix(name, strings.TrimSuffix(base, ext)+"-")
	if !found {
		return strings.HasPrefix(name, base) && name != base && !isUnfinished(name)
	}
	return strings.Contains(rest, ext) && !isUnfinished(name)
}

// isUnfinished reports whether a file of this name is not yet what it is to become.
func isUnfinished(name string) bool {
	return strings.HasSuffix(name, ".tmp") || strings.Contains(name, forgettingSuffix)
}

// follow makes sure that a file that was opened, and is not at its path any more, is among
// those that are still to be looked through.
func (f *fileErasure) follow(file *os.File) error {
	if err := f.addRolled(); err != nil {
		return err
	}
	for _, path := range f.paths[f.given:] {
		if isAt(file, path) || isRolled(filepath.Base(path), filepath.Base(file.Name())) && codecOf(path) != nil {
			return nil
		}
	}
	return &failure{exitPartial, errors.New("it was moved or deleted while it was read, and is not beside its old name: run this again, with the file that it is now")}
}

// file erases the lines of one file.
func (f *fileErasure) file(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var lines []erasedLine
	err = eachLine(ctx, file, codecOf(path), func(n int, text []byte) error {
		if holds(text, &f.Subject) {
			lines = append(lines, erasedLine{path, n})
		}
		return nil
	})
	switch {
	case err != nil || len(lines) == 0:
		return err
	case !isAt(file, path):
		return f.follow(file)
	case f.DryRun:
		f.found.Lines = append(f.found.Lines, lines...)
		f.found.Count += len(lines)
		return nil
	}
	w := rewriting{file: file, codec: codecOf(path), erasure: &f.Erasure}
	rewrite := w.closed
	if w.codec == nil {
		rewrite = w.open
	}
	now, err := rewrite(ctx)
	f.known[now] = true
	f.found.Count += w.count
	if w.count > 0 {
		f.found.Files = append(f.found.Files, now)
	}
	if errors.Is(err, errMoved) {
		return f.follow(file)
	}
	return err
}

// isAt reports whether an open file is the one at a path.
func isAt(file *os.File, path string) bool {
	here, err := file.Stat()
	there, thereErr := os.Lstat(path)
	return err == nil && thereErr == nil && os.SameFile(here, there)
}
