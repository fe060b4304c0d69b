//go:build unix

package command_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

// testTimeout bounds every wait. Only a test that hangs reaches it.
const testTimeout = 90 * time.Second

func newMeta() *graphtest.Server {
	return graphtest.New(graphtest.State{
		Apps: []*graphtest.App{{ID: "1234567890", Secret: marker, Callbacks: []*graphtest.Callback{
			{Object: "instagram", URL: "https://hooks.example.com/webhooks", Fields: []string{"comments", "messages"}},
		}}},
		Accounts: []*graphtest.Account{{ID: "17841400000000001", Name: "gardens"}},
		Tokens:   []*graphtest.Token{{Value: "IGAA-" + marker, App: "1234567890", Account: "17841400000000001"}},
	})
}

// set starts `caddy instagram subscriptions set` for messages.
func set(t *testing.T, url string, args ...string) (cmd *exec.Cmd, stdout *bytes.Buffer, stderr io.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, "caddy", append([]string{"instagram", "subscriptions", "set",
		"--graph-url", url, "--account", "17841400000000001", "--fields", "messages"}, args...)...)
	cmd.Env = append(cmd.Environ(), "IG_ACCESS_TOKEN=IGAA-"+marker, "GORACE=atexit_sleep_ms=0")
	stdout = new(bytes.Buffer)
	cmd.Stdout = stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout, stderr
}

// ended waits for the end of a command and returns its exit code.
func ended(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	if exited, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ok && !exited.Exited() {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestInterruptWhileWaiting(t *testing.T) {
	t.Parallel()
	s := newMeta()
	s.Fail(graphtest.Fault{Method: "POST", Status: 400, Times: 100, Body: json.RawMessage(`{"error":{"message":"Too many","code":4}}`)})
	server := httptest.NewServer(s)
	defer server.Close()

	cmd, _, stderr := set(t, server.URL, "--wait", "1h")
	lines := bufio.NewReader(stderr)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(line, "trying again in") {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(lines)
	if code := ended(t, cmd); code != 2 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(string(rest), "Error: ") || !strings.Contains(string(rest), "Too many") {
		t.Errorf("it said %q", rest)
	}
}

func TestInterruptDuringTheChange(t *testing.T) {
	t.Parallel()
	s := newMeta()
	changed := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			s.ServeHTTP(httptest.NewRecorder(), r)
			close(changed)
			<-r.Context().Done() // the answer never comes
			return
		}
		s.ServeHTTP(w, r)
	}))
	defer server.Close()

	cmd, stdout, stderr := set(t, server.URL)
	select {
	case <-changed:
	case <-time.After(testTimeout):
		t.Fatal("the change did not come")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(stderr)
	if code := ended(t, cmd); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(string(said), "It took effect, although the call failed") || !strings.Contains(stdout.String(), "Done, and read back.") {
		t.Errorf("it said %q and %q", said, stdout)
	}
	if strings.Contains(string(said)+stdout.String(), marker) {
		t.Error("a secret was printed")
	}
}
