//go:build unix

package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
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
