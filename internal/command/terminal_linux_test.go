package command

import (
	"bytes"
	"os"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func TestColoursOnATerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := new(cobra.Command)
	cmd.SetOut(f)
	t.Setenv("TERM", "xterm")
	for value, want := range map[string]bool{"": true, "1": false} {
		t.Setenv("NO_COLOR", value)
		if got := newConsole(cmd).colour; got != want {
			t.Errorf("NO_COLOR=%s on a terminal: colours %t", value, got)
		}
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if newConsole(cmd).colour {
		t.Error("colours on a dumb terminal")
	}
}

// TestListsKnowTheWidthOfTheTerminal tells a terminal, whose size may be unknown,
// from a pipe.
func TestListsKnowTheWidthOfTheTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := new(cobra.Command)
	cmd.SetOut(f)
	if width := newConsole(cmd).width; width != 80 {
		t.Errorf("%d columns on a terminal without a size", width)
	}
	if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 123, Row: 4}); err != nil {
		t.Fatal(err)
	}
	if width := newConsole(cmd).width; width != 123 {
		t.Errorf("%d columns, want 123", width)
	}
	cmd.SetOut(new(bytes.Buffer))
	if width := newConsole(cmd).width; width != 0 {
		t.Errorf("%d columns of a buffer", width)
	}
}
