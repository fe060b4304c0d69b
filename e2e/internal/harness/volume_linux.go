package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// NeedRoot skips a test that mounts file systems, but not in CI.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must run as root: this test mounts file systems")
	}
	t.Skip("skipped: this test mounts file systems, which needs root")
}

// Volume is a file system of the test's own.
type Volume struct {
	image string // "" for a tmpfs
	Dir   string // where it is mounted
	size  int    // of a tmpfs
}

// NewVolume mounts an ext4 file system that can lose its power.
func NewVolume(t testing.TB) *Volume {
	t.Helper()
	v := &Volume{image: filepath.Join(t.TempDir(), "disk"), Dir: t.TempDir()}
	f, err := os.Create(v.image)
	if err == nil {
		err = f.Truncate(256 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", v.image)
	v.mount(t)
	t.Cleanup(func() { unmount(t, v.Dir) })
	return v
}

// NewTmpfs mounts a file system that is soon full.
func NewTmpfs(t testing.TB, bytes int) *Volume {
	t.Helper()
	v := &Volume{Dir: t.TempDir(), size: bytes}
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", bytes), "tmpfs", v.Dir)
	t.Cleanup(func() { unmount(t, v.Dir) })
	return v
}

func (v *Volume) mount(t testing.TB) {
	t.Helper()
	run(t, "mount", "-o", "loop", v.image, v.Dir)
}

// CutPower ends the file system as a power cut would: what was not synced, its
// journal included, never reaches the disk. Later operations fail, but for a sync
// under way, which may succeed though nothing is on disk. So the ledger of what
// must be there is closed first.
func (v *Volume) CutPower(t testing.TB, ledger *Ledger) {
	t.Helper()
	ledger.Close()
	const ioctlShutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN
	dir, err := os.Open(v.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		t.Fatalf("cutting the power: %v", errno)
	}
}

// RestorePower mounts the file system again, as after a reboot.
func (v *Volume) RestorePower(t testing.TB) {
	t.Helper()
	unmount(t, v.Dir)
	v.mount(t)
}

// Remount changes the options of the file system, such as "ro".
func (v *Volume) Remount(t testing.TB, options string) {
	t.Helper()
	run(t, "mount", "-o", "remount,"+options, v.Dir)
}

// Fill fills a tmpfs, so that so many bytes are free at most. With none it must be
// full to the last one.
func (v *Volume) Fill(t testing.TB, free int) {
	t.Helper()
	err := os.WriteFile(v.filler(), make([]byte, v.size-free), 0o600)
	if free == 0 && !errors.Is(err, syscall.ENOSPC) || free > 0 && err != nil {
		t.Fatalf("filling the disk: %v", err)
	}
}

// MakeRoom takes away what Fill has filled the file system with.
func (v *Volume) MakeRoom(t testing.TB) {
	t.Helper()
	if err := os.Remove(v.filler()); err != nil {
		t.Fatal(err)
	}
}

func (v *Volume) filler() string { return filepath.Join(v.Dir, ".filler") }

// unmount unmounts dir, which nobody may use any more.
func unmount(t testing.TB, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Errorf("unmounting: %v", err)
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
