//go:build unix

package command

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSimulateFromPipe replays what a program writes, such as one that
// decompresses a file.
func TestSimulateFromPipe(t *testing.T) {
	t.Parallel()
	const body = `{"object":"instagram","entry":[{"id":"1","changes":[{"field":"comments","value":{"id":"2"}}]}]}`
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(pipe, []byte(body+"\n"+body+"\n"), 0) }() // waits for the reader
	p := newReceiver(t)
	code, out, errs := simulateIn(t, "", "--to", p.URL, "--app-secret-file", secretFile(t), "--from-log", pipe)
	if got := p.received(); code != 0 || len(got) != 2 {
		t.Fatalf("exit code %d, received %q, %s%s", code, got, out, errs)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
