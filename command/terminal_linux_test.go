package command

import (
	"os"
	"testing"

	"github.com/spf13/cobra"
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
