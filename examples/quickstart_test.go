//go:build unix

package examples_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuickStart does what the README's quick start says, on a free port, and
// then the same by hand. It holds what that prints and writes against what is
// shown.
func TestQuickStart(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("CI must have what the quick start needs: %v", err)
			}
			t.Skipf("skipped: the quick start needs %s: %v", tool, err)
		}
	}
	quick := blocks(t, "../README.md", "Quick start", 4)
	byHand := blocks(t, "../docs/simulate.md", "By hand, with curl and openssl", 5)
	if !strings.HasPrefix(quick[0], "go run ./cmd/caddy run --config examples/quickstart/Caddyfile\n") {
		t.Fatalf("the quick start begins with another command than this test knows: %s", quick[0])
	}
	dir := t.TempDir()
	address := freeAddress(t)
	binary := filepath.Join(dir, "caddy")
	local := func(s string) string {
		return strings.NewReplacer("localhost:8080", address, "http://:8080", "http://"+strings.TrimPrefix(address, "127.0.0.1"), "go run ./cmd/caddy", binary).Replace(s)
	}
	startGateway(t, dir, binary, local)

	for _, step := range []struct{ command, prints string }{{quick[1], quick[2]}, {byHand[0], byHand[1]}, {byHand[2], byHand[3]}} {
		cmd := exec.Command("sh", "-eu", "-c", local(step.command))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s\n%v %s", cmd, err, &stderr)
		}
		if got, want := untimed(string(out)), untimed(step.prints); got != want {
			t.Errorf("%s\nprints %q, the README says %q", cmd, got, want)
		}
	}
	lines, err := os.ReadFile(filepath.Join(dir, "instagram-events.jsonl"))
	if want := quick[3] + byHand[4]; err != nil || string(lines) != want {
		t.Errorf("the file holds %q, %v; the README says %q", lines, err, want)
	}
}

// untimed returns what a command printed, without the times that it measured.
func untimed(text string) string {
	times := regexp.MustCompile(`(?m)^(latency|time) .*$`)
	number := regexp.MustCompile(`[0-9]+(\.[0-9])?`)
	return times.ReplaceAllStringFunc(strings.TrimSpace(text), func(line string) string {
		name, rest, _ := strings.Cut(line, " ")
		return name + number.ReplaceAllLiteralString(rest, "0")
	})
}

// blocks returns the code blocks of a chapter, of which there must be so many at
// least.
func blocks(t *testing.T, path, chapter string, n int) (found []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+chapter+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$").FindAllStringSubmatch(rest, -1) {
		found = append(found, m[1])
	}
	if len(found) < n {
		t.Fatalf("%s of %s has other blocks than this test knows: %q", chapter, path, found)
	}
	return found
}

func startGateway(t *testing.T, dir, binary string, local func(string) string) {
	t.Helper()
	config, err := os.ReadFile("quickstart/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(local(string(config))), 0o600); err != nil {
		t.Fatal(err)
	}
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
