package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// dockerfile is the last stage of the Dockerfile: its instructions, in order.
type dockerfile [][2]string

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	last := stages[len(stages)-1]
	if base, _, _ := strings.Cut(last, "\n"); base != "scratch" {
		t.Fatalf("the image is from %s, which this test does not have", base)
	}
	var d dockerfile
	for _, m := range regexp.MustCompile(`(?m)^([A-Z]+) (.*)$`).FindAllStringSubmatch(last, -1) {
		d = append(d, [2]string{m[1], m[2]})
	}
	return d
}

// get returns what stands behind an instruction.
func (d dockerfile) get(t *testing.T, instruction string) string {
	t.Helper()
	for _, line := range d {
		if line[0] == instruction {
			return line[1]
		}
	}
	t.Fatalf("the Dockerfile has no %s", instruction)
	return ""
}

// command returns the words of CMD, or of HEALTHCHECK.
func (d dockerfile) command(t *testing.T, instruction string) (words []string) {
	t.Helper()
	text := d.get(t, instruction)
	if err := json.Unmarshal([]byte(text[strings.Index(text, "["):]), &words); err != nil {
		t.Fatalf("%s: %v", instruction, err)
	}
	return words
}

// copy does what the COPY instructions do. The files of the first stage are those of
// this system, the released program, and an empty directory.
func (d dockerfile) copy(t *testing.T, root *harness.Root, program string) {
	t.Helper()
	from := strings.NewReplacer(" /caddy ", " "+program+" ", " /empty ", " "+t.TempDir()+" ", " contrib/", " ../contrib/")
	for _, line := range d {
		if line[0] != "COPY" {
			continue
		}
		words := strings.Fields(from.Replace(" " + line[1]))
		target := root.Path(words[len(words)-1])
		if strings.HasSuffix(words[len(words)-1], "/") {
			target = filepath.Join(target, filepath.Base(words[len(words)-2]))
		}
		if words[len(words)-2] == program {
			target = root.Path("/usr/bin/caddy")
		}
		shell(t, `mkdir --parents "$(dirname "$2")" && cp --recursive --no-target-directory "$1" "$2"`, words[len(words)-2], target)
		for _, word := range words {
			if owner, ok := strings.CutPrefix(word, "--chown="); ok {
				shell(t, `chown "$1" "$2"`, owner, target)
			}
		}
	}
}

func shell(t *testing.T, script string, args ...string) {
	t.Helper()
	if out, err := exec.Command("sh", append([]string{"-euc", script, "sh"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", script, args, err, out)
	}
}

// TestImage builds by hand what the Dockerfile describes, and runs it with PHP as the
// compose file of examples/docker says: without root, on a read-only root, in a network
// where everybody may listen on port 80, as in Docker's.
func TestImage(t *testing.T) {
	t.Parallel()
	program := builtPackages(t, packageName)[0]
	d := readDockerfile(t)
	image, php := harness.EmptyRoot(t), harness.NewRoot(t)
	d.copy(t, image, program)
	example, err := os.ReadFile("../examples/docker/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"/etc/caddy/Caddyfile": string(example),
		"/etc/hosts":           "127.0.0.1 localhost php\n",
	} {
		if err := os.WriteFile(image.Path(path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(image.Path("/dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	image.ReadOnly(t, strings.Fields(d.get(t, "VOLUME"))...)

	network := harness.NewNetwork(t, 1)
	prepare := network.Command(exec.Command("sh", "-euc", "ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start"))
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := func(instruction string) *exec.Cmd {
		args := append([]string{"--userspec=" + d.get(t, "USER"), "--groups=", image.Dir}, d.command(t, instruction)...)
		cmd := exec.Command("chroot", args...)
		cmd.Env = append(strings.Fields(d.get(t, "ENV")), "SITE=http://"+network.Addr(0), "IG_VERIFY_TOKEN=token", "IG_APP_SECRET="+harness.Secret)
		return network.Command(cmd)
	}
	health := func(want int, when string) {
		t.Helper()
		cmd := command("HEALTHCHECK")
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s, the health check exits with %s\n%s", when, cmd.ProcessState, out)
		}
	}
	const unreachable = 2
	health(unreachable, "before the start")
	gateway := harness.StartProcess(t, "caddy", command("CMD"))
	gateway.WaitOutput(t, "serving initial configuration")
	health(0, "while it serves")

	// The event waits for PHP.
	client := harness.NewClient(t, harness.HTTP1, "http://"+network.Addr(0)+"/webhooks", network.Addr(0)+":80", nil, nil)
	defer client.Close()
	if answer := client.Deliver(t, harness.Messages("c.0")); answer.Status != http.StatusOK {
		t.Errorf("a delivery is answered with %d", answer.Status)
	}
	fpm := harness.StartProcess(t, "php-fpm", network.Command(examplePHP(t, php)))
	fpm.WaitOutput(t, `took [^ ]+: an event of instagram`)
	gateway.Stop()
	health(unreachable, "after the end")
}

// examplePHP runs the script of examples/docker as its container does.
func examplePHP(t *testing.T, root *harness.Root) *exec.Cmd {
	t.Helper()
	programs, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(programs) == 0 {
		t.Fatal("php-fpm is not installed")
	}
	if err := os.CopyFS(root.Path("/srv/webhooks"), os.DirFS("../examples/docker/php")); err != nil {
		t.Fatal(err)
	}
	config := "[global]\nerror_log = /dev/stderr\n[www]\nuser = www-data\ngroup = www-data\nlisten = 127.0.0.1:9000\n" +
		"pm = static\npm.max_children = 2\ncatch_workers_output = yes\ndecorate_workers_output = no\nphp_admin_flag[log_errors] = on\n"
	if err := os.WriteFile(root.Path("/fpm.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return root.Command(programs[0], "--nodaemonize", "--force-stderr", "--no-php-ini", "--fpm-config", "/fpm.conf")
}
