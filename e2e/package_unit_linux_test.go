package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// unit returns the values of a setting in the unit.
func (g *packaged) unit(t *testing.T, setting string) (values []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^`+setting+`=(.*)$`).FindAllStringSubmatch(g.read(t, packageUnit), -1) {
		values = append(values, m[1])
	}
	if len(values) == 0 {
		t.Fatalf("the unit has no %s", setting)
	}
	return values
}

// command is a command of the unit, run as systemd would.
func (g *packaged) command(t *testing.T, setting string, more ...string) *exec.Cmd {
	t.Helper()
	capability := "-all,+" + strings.ToLower(strings.TrimPrefix(g.unit(t, "AmbientCapabilities")[0], "CAP_"))
	args := []string{"env", "--chdir=" + g.unit(t, "WorkingDirectory")[0],
		"setpriv", "--reuid=" + g.unit(t, "User")[0], "--regid=" + g.unit(t, "Group")[0], "--init-groups", "--no-new-privs",
		"--inh-caps=" + capability, "--ambient-caps=" + capability, "--bounding-set=" + capability,
		"sh", "-c", "umask " + g.unit(t, "UMask")[0] + ` && exec "$@"`, "sh"}
	cmd := g.root.Command(append(args, strings.Fields(g.unit(t, setting)[0])...)...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, more...)
	for _, line := range g.unit(t, "Environment") {
		cmd.Env = append(cmd.Env, strings.Fields(line)...)
	}
	for line := range strings.Lines(g.read(t, strings.TrimPrefix(g.unit(t, "EnvironmentFile")[0], "-"))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	return cmd
}

// service is a gateway that runs as its unit says.
type service struct {
	cmd     *exec.Cmd
	process *harness.Process
	patient time.Duration
}

// start returns when the gateway has told systemd that it serves.
func (g *packaged) start(t *testing.T) *service {
	t.Helper()
	if kind := g.unit(t, "Type")[0]; kind != "notify" {
		t.Fatalf("the type of the unit is %s", kind)
	}
	patient, err := time.ParseDuration(g.unit(t, "TimeoutStopSec")[0])
	if err != nil {
		t.Fatal(err)
	}
	const socket = "/tmp/notify"
	path := g.root.Path(socket)
	_ = os.Remove(path) // of the start before
	notices, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = notices.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := g.command(t, "ExecStart", "NOTIFY_SOCKET="+socket)
	process := harness.StartProcess(t, packageName, cmd)
	if err := notices.SetReadDeadline(time.Now().Add(harness.Timeout)); err != nil {
		t.Fatal(err)
	}
	for notice := make([]byte, 1024); ; {
		n, err := notices.Read(notice)
		if err != nil {
			t.Fatalf("waiting for the notice that it is ready: %v", err)
		}
		if strings.Contains(string(notice[:n]), "READY=1") {
			return &service{cmd, process, patient}
		}
	}
}

// stop ends the gateway as systemd does.
func (s *service) stop(t *testing.T) {
	t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !s.process.Succeeded() {
		t.Error("it ended with an error")
	}
	if took := time.Since(begin); took > s.patient {
		t.Errorf("it took %s to end, and systemd waits %s", took, s.patient)
	}
}

// reload has the gateway load another config by the command of the unit.
func (g *packaged) reload(t *testing.T) {
	t.Helper()
	mine := g.read(t, packageEtc+"/Caddyfile")
	g.write(t, packageEtc+"/Caddyfile", strings.Replace(mine, "\thandle", "\thandle /new {\n\t\trespond new\n\t}\n\thandle", 1))
	if out, err := g.command(t, "ExecReload").CombinedOutput(); err != nil {
		t.Fatalf("reloading: %v\n%s", err, out)
	}
	harness.WaitOneListener(t, g.addr)
	resp, err := http.Get("http://" + g.addr + "/new")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the new config answers %d", resp.StatusCode)
	}
}

func (g *packaged) deliver(t *testing.T, mid string) {
	t.Helper()
	client := harness.NewClient(t, harness.HTTP1, "http://"+g.addr+"/webhooks", g.addr, nil, nil)
	defer client.Close()
	if answer := client.Deliver(t, harness.Messages(mid)); answer.Status != http.StatusOK {
		t.Errorf("a delivery is answered with %d", answer.Status)
	}
}

// lowPorts counts the ports that were given out, so that no two tests get the same.
var lowPorts atomic.Int64

// lowAddr returns a free address that takes a capability to listen on.
func lowAddr(t *testing.T) string {
	t.Helper()
	for {
		port := 699 + lowPorts.Add(1)
		if port >= 1024 {
			t.Fatal("no port below 1024 is free")
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.FormatInt(port, 10)); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
}
