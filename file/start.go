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

// startCheck tries to write when a config starts, so that a path that cannot be
// written to is noticed before the first delivery. It implements app.Service.
type startCheck struct {
	handler *Handler
	config  *app.App
}

// Start makes missing directories and tries to write. It returns an error for a
// permanent failure; others, such as a full disk, are only warned of.
func (c startCheck) Start() error {
	h := c.handler
	if !c.config.Once("instagram_file " + h.Layout + " " + h.Path) {
		return nil
	}
	err := h.tryToWrite()
	var permanent permanentError
	switch {
	case errors.As(err, &permanent):
		return fmt.Errorf("instagram_file cannot write to %s: %w", h.Path, err)
	case err != nil:
		h.logger.Warn("events can probably not be written now: deliveries will be answered with 503",
			zap.String("path", h.Path), zap.String("user", username()), zap.Error(err))
	}
	return nil
}

// Stop does nothing: the check is over once Start returns.
func (startCheck) Stop() error { return nil }

// permanentError is an error that trying again does not help against.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// asPermanent wraps err in a permanentError if it is permanent. It says which user
// lacks a permission.
func asPermanent(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return permanentError{fmt.Errorf("%w: Caddy runs as the user %s, who may not do that: "+
			"make the directory, and give it to this user", err, username())}
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return permanentError{err}
	}
	return err
}

// tryToWrite tries what can be tried before there is an event.
func (h *Handler) tryToWrite() error {
	d, mode := h.pool.disk, h.mode()
	dir := filepath.Dir(h.path.texts[0] + "x") // the one that the paths of all events share
	fixed := len(h.path.keys) == 0
	if fixed {
		path := h.path.texts[0]
		info, err := d.Stat(path)
		switch {
		case h.Layout == layoutFiles && err == nil && !info.IsDir():
			return permanentError{errors.New("it is a file, but the layout files needs a directory")}
		case h.Layout == layoutFiles:
			dir = path
		case err == nil && info.IsDir():
			return permanentError{errors.New("it is a directory, but the layout lines needs a file")}
		case err == nil && !info.Mode().IsRegular():
			return permanentError{errors.New("it is not a regular file")}
		case err == nil:
			return h.tryFile(path)
		}
	}
	if err := makeDirs(d, dir, mode); err != nil {
		return asPermanent(err)
	}
	err := tryDir(d, dir, mode)
	if !fixed && errors.Is(err, fs.ErrPermission) {
		return err // the files of all events that come may be there already
	}
	return asPermanent(err)
}

// tryFile opens an existing file, and checks whether the disk is full.
func (h *Handler) tryFile(path string) error {
	d := h.pool.disk
	f, err := d.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return asPermanent(err)
	}
	err = tryDir(d, filepath.Dir(path), h.mode())
	if h.Roll.isZero() && errors.Is(err, fs.ErrPermission) {
		return nil // only the file itself is written to
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
