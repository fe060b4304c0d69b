//go:build unix

package command_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestForgetWhoseTerminalIsClosed leaves nothing beside a file while whose copy is written the
// terminal is closed.
func TestForgetWhoseTerminalIsClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	line := `{"object":"instagram","entry":[{"id":"178","time":1,"changes":[{"field":"comments","value":{"id":"%d","from":{"id":"5"}}}]}]}` + "\n"
	text := fmt.Sprintf(line, 17) + strings.Repeat(fmt.Sprintf(line, 1), 300_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "caddy", "instagram", "queue", "forget", "--user", "17", "--files", path)
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for copies := 0; copies == 0 && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		copies = len(entries) - 1
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code := ended(t, cmd); code != 2 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		t.Errorf("the file has changed: %v", err)
	}
}
