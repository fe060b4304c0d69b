package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// NeedRoot skips a test that mounts file systems or makes networks, but not in CI.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must run as root: this test mounts file systems or makes networks")
	}
	t.Skip("skipped: this test mounts file systems or makes networks, which needs root")
}

// Volume is a file system of the test's own.
type Volume struct {
	Name  string // of its file system
	image string // "" for a tmpfs
	Dir   string // where it is mounted
}

// FileSystem is a kind of file system, with the size of a Volume of it.
type FileSystem struct {
	Name  string
	bytes int64
	flags []string // of mkfs
}

// Those that can lose their power. xfs refuses to be smaller.
var (
	Ext4 = FileSystem{"ext4", 256 << 20, nil}
	XFS  = FileSystem{"xfs", 300 << 20, nil}
)

// Btrfs cannot lose its power, but be full in ways of its own. It keeps data and what
// describes them in the same place, so that both are full at the same time.
var Btrfs = FileSystem{"btrfs", 64 << 20, []string{"--mixed"}}

// NewVolume mounts a file system.
func NewVolume(t testing.TB, fs FileSystem) *Volume {
	t.Helper()
	v := &Volume{Name: fs.Name, image: filepath.Join(t.TempDir(), "disk"), Dir: t.TempDir()}
	f, err := os.Create(v.image)
	if err == nil {
		err = f.Truncate(fs.bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs."+fs.Name, append(append([]string{"-q"}, fs.flags...), v.image)...)
	v.mount(t)
	t.Cleanup(func() { unmount(t, v.Dir) })
	return v
}

// NewTmpfs mounts a file system that is soon full.
func NewTmpfs(t testing.TB, bytes int) *Volume {
	t.Helper()
	v := &Volume{Name: "tmpfs", Dir: t.TempDir()}
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
	v.Fail(t)
}

// Fail has all later operations fail, as a broken disk does, until RestorePower. What
// was not synced is lost. No sync may be under way.
func (v *Volume) Fail(t testing.TB) {
	t.Helper()
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
	awaitForks()
	run(t, "mount", "-o", "remount,"+options, v.Dir)
}

// Fill fills the file system, so that so many bytes are free at most. With none it is
// full to the last one.
func (v *Volume) Fill(t testing.TB, free int64) {
	t.Helper()
	f, err := os.OpenFile(v.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("filling the disk: %v", err)
	}
	defer f.Close()
	var has syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &has); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for more := int64(has.Bfree)*has.Bsize - free; more >= 4096 || free > 0 && more > 0; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, size, more); {
		case err == nil && free > 0:
			return
		case err == nil:
			size += more
		case errors.Is(err, syscall.ENOSPC):
			more /= 2
		case !errors.Is(err, syscall.EINTR):
			t.Fatalf("filling the disk: %v", err)
		}
	}
}

// MakeRoom takes away what Fill has filled the file system with, if it has.
func (v *Volume) MakeRoom(t testing.TB) {
	t.Helper()
	if err := os.Remove(v.filler()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	run(t, "sync", "-f", v.Dir) // some file systems free nothing before
}

func (v *Volume) filler() string { return filepath.Join(v.Dir, ".filler") }

// unmount unmounts dir, which nobody may use any more: nor does a process that is just being
// started, with a copy of a file that was open in it.
func unmount(t testing.TB, dir string) {
	t.Helper()
	awaitForks()
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
