//go:build unix

package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
)

// TestFilesOfRootBelongToTheOwnerOfTheQueue has root look into a queue of another user,
// who must be able to open it afterwards.
func TestFilesOfRootBelongToTheOwnerOfTheQueue(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const user, group = 12345, 23456
	path := filepath.Join(t.TempDir(), "queue.db")
	err := openStore(t, path).Close()
	if err := errors.Join(err, os.Remove(path+lockSuffix), os.Remove(path+reserveSuffix), os.Chown(path, user, group)); err != nil {
		t.Fatal(err)
	}
	accept(t, openStore(t, path), record("a", ""))
	for _, suffix := range []string{walSuffix, lockSuffix, reserveSuffix} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if of := info.Sys().(*syscall.Stat_t); of.Uid != user || of.Gid != group {
			t.Errorf("%s belongs to %d:%d", suffix, of.Uid, of.Gid)
		}
	}
}

// TestReserveFollowsNoLink would overwrite what the link leads to.
func TestReserveFollowsNoLink(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "queue.db")
	other := path + ".other"
	if err := errors.Join(os.WriteFile(other, []byte("precious"), 0o600), os.Symlink(other, path+reserveSuffix)); err != nil {
		t.Fatal(err)
	}
	openStore(t, path)
	if text, err := os.ReadFile(other); err != nil || string(text) != "precious" {
		t.Errorf("the other file has %d bytes, %v", len(text), err)
	}
	if info, err := os.Lstat(path + reserveSuffix); err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		t.Errorf("the reserve is %v, %v", info, err)
	}
}

// TestSymbolicLink opens a queue by a link to it. By its own name it is the same queue, which
// another process may not open, and what is written anew takes its place and not the link's.
func TestSymbolicLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "queue.db"), filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, zap.NewNop); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), link) {
		t.Fatalf("opened a link to nothing: %v", err)
	}
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, link)
	accept(t, s, record("a", ""))
	if _, err := Open(path, zap.NewNop); !errors.Is(err, ErrLocked) {
		t.Errorf("opened by its own name as well: %v", err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("the file was not written anew: %v", err)
	}
	if n := len(due(t, s, 2)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}
