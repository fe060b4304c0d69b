package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Root is a copy of this system's root, in which a test installs and changes what it
// likes. Nothing of it is left at the end of the test.
type Root struct{ Dir string }

// NewRoot makes a copy of the root.
func NewRoot(t testing.TB) *Root {
	t.Helper()
	NeedRoot(t)
	changes := NewTmpfs(t, 1<<30).Dir
	upper, work := filepath.Join(changes, "upper"), filepath.Join(changes, "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := EmptyRoot(t)
	run(t, "mount", "-t", "overlay", "-o", "lowerdir=/,upperdir="+upper+",workdir="+work, "overlay", r.Dir)
	t.Cleanup(func() { unmount(t, r.Dir) })
	r.mount(t, "/proc")
	r.mount(t, "/dev")
	return r
}

// EmptyRoot makes a root that has nothing.
func EmptyRoot(t testing.TB) *Root {
	t.Helper()
	NeedRoot(t)
	return &Root{t.TempDir()}
}

// mount shows a directory of this system in the root.
func (r *Root) mount(t testing.TB, dir string) {
	t.Helper()
	run(t, "mount", "--bind", dir, r.Path(dir))
	t.Cleanup(func() { unmount(t, r.Path(dir)) })
}

// ReadOnly has the root, but none of these directories, refuse to be written to.
func (r *Root) ReadOnly(t testing.TB, writable ...string) {
	t.Helper()
	run(t, "mount", "--bind", r.Dir, r.Dir)
	t.Cleanup(func() { unmount(t, r.Dir) })
	run(t, "mount", "-o", "remount,bind,ro", r.Dir)
	for _, dir := range writable {
		volume := t.TempDir()
		run(t, "chown", "--reference="+r.Path(dir), volume)
		run(t, "mount", "--bind", volume, r.Path(dir))
		t.Cleanup(func() { unmount(t, r.Path(dir)) })
	}
}

// Path is where a path in the root is for the test.
func (r *Root) Path(path string) string { return filepath.Join(r.Dir, path) }

// Command is a command inside the root.
func (r *Root) Command(args ...string) *exec.Cmd {
	cmd := exec.Command("chroot", append([]string{r.Dir}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// Run runs a command inside the root, which must succeed, and returns what it wrote.
func (r *Root) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := r.Command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Command is a command inside the network.
func (n *Network) Command(cmd *exec.Cmd) *exec.Cmd {
	inside := exec.Command("nsenter", append([]string{"--net=/run/netns/" + n.name, cmd.Path}, cmd.Args[1:]...)...)
	inside.Env = cmd.Env
	return inside
}

// StartProcess starts a program that ends with the test.
func StartProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	return startFor(t, name, cmd)
}
