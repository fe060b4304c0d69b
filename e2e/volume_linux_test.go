package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// needRoot skips a test that mounts file systems, but not in CI.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must run as root: this test mounts file systems")
	}
	t.Skip("skipped: this test mounts file systems, which needs root")
}

// volume is a file system of the test's own.
type volume struct {
	image string // "" for a tmpfs
	dir   string
}

// newVolume mounts an ext4 file system that can lose its power.
func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{image: filepath.Join(t.TempDir(), "disk"), dir: t.TempDir()}
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
	command(t, "mkfs.ext4", "-q", v.image)
	v.mount(t)
	t.Cleanup(func() { unmount(t, v.dir) })
	return v
}

// newTmpfs mounts a file system that is soon full.
func newTmpfs(t *testing.T, bytes int) *volume {
	t.Helper()
	v := &volume{dir: t.TempDir()}
	command(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", bytes), "tmpfs", v.dir)
	t.Cleanup(func() { unmount(t, v.dir) })
	return v
}

func (v *volume) mount(t *testing.T) {
	t.Helper()
	command(t, "mount", "-o", "loop", v.image, v.dir)
}

// cutPower ends the file system as a power cut would: what was not synced, its
// journal included, never reaches the disk. Later operations fail, but for a sync
// under way, which may succeed though nothing is on disk. So the tally of what
// must be there is closed first.
func (v *volume) cutPower(t *testing.T, acknowledged *tally) {
	t.Helper()
	acknowledged.close()
	const ioctlShutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN
	dir, err := os.Open(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		t.Fatalf("cutting the power: %v", errno)
	}
}

// restorePower mounts the file system again, as after a reboot.
func (v *volume) restorePower(t *testing.T) {
	t.Helper()
	unmount(t, v.dir)
	v.mount(t)
}

// unmount unmounts dir, which nobody may use any more.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Errorf("unmounting: %v", err)
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
