package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

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

// TestTailEndsAtOnceOnATerminal types Ctrl+C while the admin API keeps an event back, and
// looks for the terminal as it was.
func TestTailEndsAtOnceOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	master, slave := openTerminal(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	asked, hang := make(chan bool, 1), make(chan bool)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/instagram/live" {
			asked <- true
			<-hang
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "id: 1\nevent: attempt\ndata: {\"id\":\"1\",\"field\":\"comments\",\"consumer\":\"default\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-hang:
		}
	}))
	defer api.Close()
	defer close(hang)

	top := &cobra.Command{Use: "instagram"}
	root(top)
	top.SetIn(slave)
	top.SetOut(slave)
	top.SetErr(slave)
	top.SetArgs([]string{"tail", "--address", api.Listener.Addr().String()})
	ended := make(chan error, 1)
	go func() { ended <- top.ExecuteContext(t.Context()) }()
	screen := bufio.NewReader(master)
	if _, err := screen.ReadString('>'); err != nil { // the event is selected
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, screen) }()
	_, _ = io.WriteString(master, "d")
	<-asked
	_, _ = io.WriteString(master, "\x03")
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Ctrl+C does nothing")
	}
	if after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || *after != *before {
		t.Errorf("%v: the terminal is %+v, and was %+v", err, after, before)
	}
}

// openTerminal returns both ends of a terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
