package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/app"
)

// trial finds out at the start of a config whether a handler will be able to
// write, so that this is not found out by the first delivery. It implements
// app.Service.
type trial struct {
	handler *Handler
	config  *app.App
}

// Start makes the directories that are missing and tries to write. It returns an
// error for what will not mend itself; a full disk for example is only warned of.
func (t trial) Start() error {
	h := t.handler
	if !t.config.Once("instagram_file " + h.Layout + " " + h.Path) {
		return nil
	}
	err := h.try()
	var lasting lastingError
	switch {
	case errors.As(err, &lasting):
		return fmt.Errorf("instagram_file cannot write to %s: %w", h.Path, err)
	case err != nil:
		h.logger.Warn("events can probably not be written now: deliveries will be answered with 503",
			zap.String("path", h.Path), zap.String("user", username()), zap.Error(err))
	}
	return nil
}

// Stop does nothing: a trial is over once Start returns.
func (trial) Stop() error { return nil }

// lastingError is an error that somebody must mend.
type lastingError struct{ error }

func (e lastingError) Unwrap() error { return e.error }

// lasting makes a lastingError of err if it is one, and says who may not write.
func lasting(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return lastingError{fmt.Errorf("%w: Caddy runs as the user %s, who may not do that: make the directory, and give it to this user", err, username())}
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return lastingError{err}
	}
	return err
}

// try tries what can be tried before there is an event.
func (h *Handler) try() error {
	d, mode := h.pool.disk, h.mode()
	dir := filepath.Dir(h.path.texts[0] + "x") // of what all events have in common
	whole := len(h.path.keys) == 0
	if whole {
		path := h.path.texts[0]
		info, err := d.Stat(path)
		switch {
		case h.Layout == layoutFiles && err == nil && !info.IsDir():
			return lastingError{errors.New("it is a file, but in the layout files the path is that of a directory")}
		case h.Layout == layoutFiles:
			dir = path
		case err == nil && info.IsDir():
			return lastingError{errors.New("it is a directory, but in the layout lines the path is that of a file")}
		case err == nil && !info.Mode().IsRegular():
			return lastingError{errors.New("it is not a regular file")}
		case err == nil:
			return h.tryFile(path)
		}
	}
	if err := makeDirs(d, dir, mode); err != nil {
		return lasting(err)
	}
	err := tryDir(d, dir, mode)
	if !whole && errors.Is(err, fs.ErrPermission) {
		return err // but what is to be written to may be there, for all values that come
	}
	return lasting(err)
}

// tryFile opens the file that is there, and looks whether the disk is full.
func (h *Handler) tryFile(path string) error {
	d := h.pool.disk
	f, err := d.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return lasting(err)
	}
	err = tryDir(d, filepath.Dir(path), h.mode())
	if h.Roll.isZero() && errors.Is(err, fs.ErrPermission) {
		return nil // nothing but the file is written to
	}
	return err
}

// tryDir writes a block to a file in a directory, and removes it.
func tryDir(d disk, dir string, mode fs.FileMode) error {
	name, err := writeTemporary(d, dir, mode, make([]byte, 4096))
	if err != nil {
		return err
	}
	if err := d.Remove(name); err != nil {
		return err
	}
	return d.SyncDir(dir)
}

// username returns who this process runs as.
func username() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return strconv.Itoa(os.Geteuid())
}
