package harness

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// caddyBinary is ./cmd/caddy, built once for all tests.
var caddyBinary string

// Main builds Caddy and runs the tests. It returns their exit code.
func Main(m *testing.M) int {
	flag.Parse()
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "instagram-e2e")
	if err == nil {
		defer os.RemoveAll(dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stopAuthority()
	return m.Run()
}

func prepare(dir string) error {
	if err := statSources(); err != nil {
		return err
	}
	if err := buildCaddy(dir); err != nil {
		return err
	}
	// The tests wait for processes more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		return f.Value.Set(fmt.Sprint(3 * runtime.GOMAXPROCS(0)))
	}
	return nil
}

func buildCaddy(dir string) error {
	caddyBinary = filepath.Join(dir, "caddy")
	if runtime.GOOS == "windows" {
		caddyBinary += ".exe"
	}
	args := []string{"build", "-ldflags=-s -w", "-o", caddyBinary} // nobody debugs it
	if RaceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../cmd/caddy")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building ../cmd/caddy: %w\n%s", err, out)
	}
	return nil
}

// statSources makes these tests run again when the plugin has changed: `go test`
// repeats an old result while no file changes that the tests looked at, and does
// not see what Caddy is built from.
func statSources() error {
	return filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "e2e"):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		if ext := filepath.Ext(path); ext == ".go" || ext == ".mod" || ext == ".sum" {
			_, err = os.Stat(path)
		}
		return err
	})
}
