package command_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/caddy-instagram/webhooks/internal/command"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
	"github.com/caddy-instagram/webhooks/internal/live"
)

// marker stands in every secret of the scripts, and must stand in no output.
const marker = "s3cr3t"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"caddy":     caddycmd.Main,
		"graph-api": graphtest.Main,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// The race detector would wait for a second at the end of each command.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("VERSION", graph.DefaultVersion)
			env.Values["receiver"], env.Values["tail"], env.Values["feed"] = new(*background), new(*background), live.New()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"instagram":  instagram,
			"graph":      startGraph,
			"receiver":   startReceiver,
			"receive":    receive,
			"received":   received,
			"tail":       tail,
			"tailed":     tailed,
			"happens":    happens,
			"reload":     reload,
			"site":       startSite,
			"callbacks":  startCallbacks,
			"queue-file": keepQueue,
			"queue":      serveQueue,
			"state":      saveState,
			"mode":       mode,
		},
	})
}

// instagram <exit code> <arguments…> runs `caddy instagram`, and fails if it
// exits with another code, if a secret is in what it printed or in a URL that
// it called, or if it printed anything but JSON for --json.
func instagram(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: instagram <exit code> <arguments...>")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("caddy", append([]string{"instagram"}, args[1:]...)...); err != nil {
		exited, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("caddy did not exit: %v", err)
		}
		got = exited.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	out := ts.ReadFile("stdout")
	for name, text := range map[string]string{"standard output": out, "standard error": ts.ReadFile("stderr"), "URLs": calledURLs(ts)} {
		if strings.Contains(text, marker) {
			ts.Fatalf("a secret is in the %s:\n%s", name, text)
		}
		if strings.Contains(text, "\x1b") {
			ts.Fatalf("colours, although not on a terminal, in the %s", name)
		}
	}
	for _, arg := range args {
		if arg == "--json" && !json.Valid([]byte(out)) {
			ts.Fatalf("this is not one JSON value:\n%s", out)
		}
	}
}

// calledURLs returns all URLs that the Graph API was called with, except those
// that Meta wants a token in.
func calledURLs(ts *testscript.TestScript) string {
	if ts.Getenv("GRAPH_URL") == "" {
		return ""
	}
	var requests []graphtest.Request
	ts.Check(json.Unmarshal(get(ts, "/.requests"), &requests))
	var urls strings.Builder
	for _, r := range requests {
		if !strings.HasSuffix(r.Path, "/debug_token") {
			fmt.Fprintln(&urls, r.URI)
		}
	}
	return urls.String()
}

func get(ts *testscript.TestScript, path string) []byte {
	resp, err := http.Get(ts.Getenv("GRAPH_URL") + path)
	ts.Check(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return data
}

// graph <file> starts a Graph API that knows the state in the file, as a process
// of its own, and sets GRAPH_URL.
func startGraph(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: graph <file>")
	}
	cmd := exec.Command("graph-api", ts.MkAbs(args[0]))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = in.Close() // it ends with that
		if err := cmd.Wait(); err != nil {
			ts.Logf("graph-api: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	ts.Setenv("GRAPH_URL", strings.TrimSpace(line))
}

// receiver <verify token> starts something that answers Meta's verification
// requests, and sets CALLBACK_URL.
func startReceiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: receiver <verify token>")
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("hub.verify_token") != args[0] {
			http.Error(w, "wrong token", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, r.FormValue("hub.challenge"))
	}))
	ts.Defer(server.Close)
	ts.Setenv("CALLBACK_URL", server.URL+"/webhooks")
}

// state <file> saves what the Graph API knows.
func saveState(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: state <file>")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), get(ts, "/.state"), 0o600))
}

// mode <mode> <file> checks the mode of a file.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode <mode> <file>")
	}
	info, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
