//go:build unix

package examples_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuickStart does what the README's quick start says, on free ports, and
// then the same by hand. It holds what that prints, writes and sends to the
// application against what is shown.
func TestQuickStart(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("CI must have what the quick start needs: %v", err)
			}
			t.Skipf("skipped: the quick start needs %s: %v", tool, err)
		}
	}
	quick := blocks(t, "../README.md", "Quick start", 6)
	arrives := blocks(t, "../README.md", "What arrives", 1)[0]
	line := blocks(t, "../docs/configuration/files.md", "Syntax", 2)[1]
	byHand := blocks(t, "../docs/simulate.md", "By hand, with curl and openssl", 5)
	if quick[0] != "go build -o caddy ./cmd/caddy\n./caddy run --config examples/quickstart/Caddyfile\n" || quick[1] != "./caddy instagram listen 127.0.0.1:9000\n" {
		t.Fatalf("the quick start begins with other commands than this test knows: %q", quick[:2])
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "caddy"), "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	receiver := receiveAt(t, dir, freeAddress(t)) // it comes back there
	address := freeAddress(t)
	admin := "unix/" + filepath.Join(dir, "admin.sock")
	local := func(s string) string {
		return strings.NewReplacer("localhost:8080", address, "localhost:2020", admin, "http://:8080", "http://"+strings.TrimPrefix(address, "127.0.0.1"),
			"localhost:9000", receiver.address, "go run ./cmd/caddy", "./caddy").Replace(s)
	}
	startGateway(t, dir, local)
	run := func(command string) string {
		t.Helper()
		cmd := exec.Command("sh", "-eu", "-c", local(command))
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s\n%v %s", cmd, err, &stderr)
		}
		return untimed(string(out))
	}
	prints := func(command, want string) {
		t.Helper()
		if got, want := run(command), untimed(want); got != want {
			t.Errorf("%s\nprints %q, the README says %q", command, got, want)
		}
	}

	sent := run(quick[2])
	for _, want := range []string{"verification  ok\n", "\naccepted      1 of 1, 1 events\n", " a forged delivery is answered with 401\n"} {
		if !strings.Contains(sent, want) {
			t.Errorf("%s\nprints %q, without %q", quick[2], sent, want)
		}
	}
	for line := range strings.Lines(quick[3]) {
		clock := regexp.MustCompile(`^\d\d:\d\d:\d\d`)
		if got := receiver.next(t); clock.ReplaceAllString(got, "") != clock.ReplaceAllString(line, "") {
			t.Errorf("the receiver prints %q, the README says %q", got, line)
		}
	}
	receiver.stop(t)
	export, _, _ := strings.Cut(quick[2], "\n")
	if got := run(export + "\n" + quick[4]); !strings.Contains(got, "\naccepted      1 of 1, 1 events\n") {
		t.Errorf("while the receiver is down: %s", got)
	}
	receiver = receiveAt(t, dir, receiver.address)
	receiver.next(t)
	if got := receiver.next(t); !strings.Contains(got, "  200     retry      comments  ") {
		t.Errorf("the receiver that is back prints %q", got)
	}
	receiver.stop(t)
	opensThePage(t, dir, local(quick[5]))
	request := requestAt(t, receiver.address, func() { run(export + "\n" + strings.Replace(quick[4], "--seed 2", "--seed 3", 1)) })
	if request != arrives {
		t.Errorf("an application gets\n%s\nand the README says\n%s", request, arrives)
	}

	prints(byHand[0], byHand[1])
	prints(byHand[2], byHand[3])
	text, err := os.ReadFile(filepath.Join(dir, "instagram-events.jsonl"))
	lines := strings.SplitAfter(string(text), "\n")
	if err != nil || len(lines) != 5 || lines[0] != line || lines[3] != byHand[4] {
		t.Errorf("the file holds %q, %v; the documentation says %q and %q", text, err, line, byHand[4])
	}
}

// opensThePage runs the command that serves the inspector, and gets the page.
func opensThePage(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-eu", "-c", "exec "+strings.TrimSpace(strings.ReplaceAll(command, "examples/quickstart/", "")))
	cmd.Dir = dir
	notes, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	url := ""
	for lines := bufio.NewScanner(notes); url == "" && lines.Scan(); {
		url = regexp.MustCompile(`http://\S+`).FindString(lines.Text())
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Jar: jar}).Get(url)
	if err != nil {
		t.Fatalf("%s said %q: %v", command, url, err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("<title>")) {
		t.Errorf("the page is answered with %s, %v: %q", resp.Status, err, page)
	}
}

// requestAt returns the request that comes to an address, as far as the README
// shows it, while something is done.
func requestAt(t *testing.T, address string, do func()) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %s %s\n", r.Method, r.URL, r.Proto)
		for _, name := range []string{"Content-Type", "Idempotency-Key", "X-Instagram-Attempt"} {
			fmt.Fprintf(&text, "%s: %s\n", name, r.Header.Get(name))
		}
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(&text, "\n%s\n", body)
		if err == nil {
			requests <- text.String()
		}
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	do()
	return <-requests
}

// receiver is `caddy instagram listen`.
type receiver struct {
	cmd     *exec.Cmd
	out     *bufio.Reader
	address string
}

func receiveAt(t *testing.T, dir, address string) *receiver {
	t.Helper()
	r := &receiver{cmd: exec.Command("./caddy", "instagram", "listen", address)}
	r.cmd.Dir = dir
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	notes, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() }) // unless it was stopped
	r.out = bufio.NewReader(out)
	note, _ := bufio.NewReader(notes).ReadString('\n') // what is read tells
	if _, err := fmt.Sscanf(note, "Listening at %s", &r.address); err != nil {
		t.Fatalf("it said %q", note)
	}
	r.address = strings.TrimSuffix(r.address, ";")
	return r
}

// next returns the next line that the receiver prints.
func (r *receiver) next(t *testing.T) string {
	t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// stop is Ctrl+C.
func (r *receiver) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if summary := r.next(t); summary != "1 event received.\n" {
		t.Errorf("at its end the receiver prints %q", summary)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Error(err)
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
	cmd := exec.Command("./caddy", "run", "--config", path)
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
