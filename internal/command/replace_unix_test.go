//go:build unix

package command

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReplacingKeepsModeAndOwner(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // only root may give a file away
		if err := os.Chown(name, 12345, 23456); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o444, 0o666} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		before := stat(t, name)
		r, err := replaceFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.commit([]byte("new")); err != nil {
			t.Fatal(err)
		}
		after := stat(t, name)
		if after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid {
			t.Errorf("%o %d:%d became %o %d:%d", before.Mode, before.Uid, before.Gid, after.Mode, after.Uid, after.Gid)
		}
		if after.Ino == before.Ino {
			t.Error("the file was written over, not replaced")
		}
	}
}

func stat(t *testing.T, name string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}
