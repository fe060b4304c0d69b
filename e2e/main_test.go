package e2e

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

// roleVariable turns the test binary into one of the programs that the tests
// need beside Caddy, so that they run in a process of their own.
const roleVariable = "E2E_ROLE"

// caddyBinary is ./cmd/caddy, built once for all tests.
var caddyBinary string

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(runTests(m))
	case "upstream":
		upstreamMain()
	case "application":
		applicationMain()
	default:
		fmt.Fprintf(os.Stderr, "unknown role %q\n", role)
		os.Exit(2)
	}
}

func runTests(m *testing.M) int {
	flag.Parse()
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		return m.Run()
	}

	if err := lookAtSources(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "instagram-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildCaddy(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stopAuthority()
	// The tests wait for processes more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(fmt.Sprint(2 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func buildCaddy(dir string) error {
	caddyBinary = filepath.Join(dir, "caddy")
	if runtime.GOOS == "windows" {
		caddyBinary += ".exe"
	}
	args := []string{"build", "-o", caddyBinary}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../cmd/caddy")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building ../cmd/caddy: %w\n%s", err, out)
	}
	return nil
}

// lookAtSources makes these tests run again when the plugin has changed: `go
// test` repeats an old result while no file changes that the tests looked at,
// and does not see what the gateway is built from.
func lookAtSources() error {
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
