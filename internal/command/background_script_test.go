package command_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// background is `caddy instagram …` that runs until Ctrl+C.
type background struct {
	cmd   *exec.Cmd
	first string // of its notes
	out   bytes.Buffer
	notes bytes.Buffer
	noted chan struct{}
}

// start starts a command in the directory of the script, and waits for its first note.
func start(ts *testscript.TestScript, args ...string) *background {
	b := &background{cmd: exec.Command("caddy", append([]string{"instagram"}, args...)...), noted: make(chan struct{})}
	b.cmd.Dir = ts.MkAbs(".")
	b.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	b.cmd.Stdout = &b.out
	notes, err := b.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(b.cmd.Start())
	ts.Defer(func() { _ = b.cmd.Process.Kill() }) // unless it has ended
	lines := bufio.NewReader(notes)
	b.first, err = lines.ReadString('\n')
	ts.Check(err)
	go func() {
		defer close(b.noted)
		_, _ = b.notes.ReadFrom(lines)
	}()
	return b
}

// stop ends it as Ctrl+C does, and writes what it printed to the files out and notes.
func (b *background) stop(ts *testscript.TestScript) {
	ts.Check(b.cmd.Process.Signal(os.Interrupt))
	<-b.noted
	if err := b.cmd.Wait(); err != nil {
		ts.Fatalf("%v\n%s", err, &b.notes)
	}
	for name, text := range map[string]*bytes.Buffer{"out": &b.out, "notes": &b.notes} {
		if bytes.Contains(text.Bytes(), []byte(marker)) {
			ts.Fatalf("a secret is in it:\n%s", text)
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), text.Bytes(), 0o600))
	}
}

// receive <arguments…> starts `caddy instagram listen` on a free port, and sets LISTEN.
func receive(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: receive <arguments...>")
	}
	b := start(ts, append([]string{"listen", "127.0.0.1:0"}, args...)...)
	var address string
	if _, err := fmt.Sscanf(b.first, "Listening at %s", &address); err != nil {
		ts.Fatalf("it said %q", b.first)
	}
	ts.Setenv("LISTEN", strings.TrimSuffix(address, ";"))
	*ts.Value("receiver").(**background) = b
}

// received ends it.
func received(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: received")
	}
	(*ts.Value("receiver").(**background)).stop(ts)
}
