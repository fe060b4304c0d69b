//go:build unix

package examples_test

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuickStart does what the README's quick start says, on a free port, and
// holds what it prints and writes against what the README shows.
func TestQuickStart(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("the quick start needs %s: %v", tool, err)
		}
	}
	blocks := quickStartBlocks(t)
	dir := t.TempDir()
	address := freeAddress(t)
	local := func(s string) string { return strings.ReplaceAll(s, "localhost:8080", address) }
	startGateway(t, dir, local)

	for _, step := range []struct{ command, prints int }{{1, 2}, {3, 4}} {
		cmd := exec.Command("sh", "-eu", "-c", local(blocks[step.command]))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s\n%v %s", cmd, err, &stderr)
		}
		if got, want := strings.TrimSpace(string(out)), strings.TrimSpace(blocks[step.prints]); got != want {
			t.Errorf("%s\nprints %q, the README says %q", cmd, got, want)
		}
	}
	lines, err := os.ReadFile(filepath.Join(dir, "instagram-events.jsonl"))
	if err != nil || string(lines) != blocks[5] {
		t.Errorf("the file holds %q, %v; the README says %q", lines, err, blocks[5])
	}
}

// quickStartBlocks returns the code blocks of the chapter: start, verification,
// its answer, delivery, its answer, the file.
func quickStartBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(readme), "\n## Quick start\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$").FindAllStringSubmatch(chapter, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) < 6 || !strings.Contains(blocks[0], "--config examples/quickstart/Caddyfile") {
		t.Fatalf("the quick start has other blocks than this test knows: %q", blocks)
	}
	return blocks
}

func startGateway(t *testing.T, dir string, local func(string) string) {
	t.Helper()
	config, err := os.ReadFile("quickstart/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(local(string(config))), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "caddy")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "run", "--config", path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	ready := make(chan bool, 1)
	go func() {
		defer close(drained)
		defer close(ready)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), "serving initial configuration") {
				ready <- true
			}
		}
	}()
	if !<-ready {
		t.Fatal("the gateway ended before it served")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
