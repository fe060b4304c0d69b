package command

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-instagram/webhooks/contrib"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

func initCommand() *cobra.Command {
	s := &setup{secret: appSecret}
	cmd := newCommand("init", "Write a Caddyfile, an environment file and a systemd unit", `
Writes what a gateway needs into a directory: a Caddyfile, a file with its secrets
that only its owner can read, and a systemd unit. The verify token is made up. No
file is overwritten. On a terminal, it asks for what the flags do not say.

The events are for an application in PHP (--to php), for one that listens on HTTP
(--to http), or for files (--to file).

Exit codes:
  0  done
  1  wrong usage, or a file exists or cannot be written: nothing is left behind
`+outputCode, `  $ caddy instagram init
  $ caddy instagram init --domain hooks.example.com --to php --target /srv/webhooks
  $ caddy instagram init --domain hooks.example.com --to http --target localhost:9000 --dir /etc/caddy`,
		0, s.run)
	s.secret.register(cmd)
	f := cmd.Flags()
	f.StringVar(&s.Domain, "domain", "", "The `name` that Meta reaches this machine by, such as hooks.example.com")
	f.StringVar(&s.To, "to", "", "Who gets the events: `php|http|file`")
	f.StringVar(&s.Target, "target", "", "The directory of index.php, the address of the application, or the file: a `place`")
	f.StringVar(&s.dir, "dir", ".", "The `directory` to write to, which is made if it is missing")
	return cmd
}

// setup is what init is told.
type setup struct {
	secret             secretSource
	Domain, To, Target string
	dir                string
}

// kinds are the values of --to, with what --target is and its default.
var kinds = map[string]struct{ what, standard string }{
	"php":  {"the directory of index.php", "/srv/webhooks"},
	"http": {"the address of the application", "localhost:9000"},
	"file": {"the file for the events", stateDir + "/events.jsonl"},
}

// stateDir is the only directory that the user of the unit may write to, and where the unit
// has Caddy keep its data.
const stateDir = "/var/lib/caddy-instagram"

var (
	domainPattern  = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	addressPattern = regexp.MustCompile(`^(https?://)?(?:(?:\[[0-9a-fA-F:]+\]|[0-9.-]*[a-zA-Z][a-zA-Z0-9.-]*|[0-9]+(?:\.[0-9]+){3})(?::([0-9]+))?|:([0-9]+))$`)
	pathPattern    = regexp.MustCompile(`^/[\pL\pN/_.+@,=-]+$`)
)

func (s *setup) run(_ context.Context, c *console, _ []string) (result, error) {
	secret, err := s.secret.lookup(c)
	if err != nil {
		return nil, err
	}
	s.secret.warn(c, secret)
	if strings.ContainsAny(string(secret), " \"'\\$#`") {
		return nil, errors.New("the app secret has characters that an environment file would change: it is none of Meta's")
	}
	if err := s.ask(c); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	written := &setUp{Program: program, Directory: dir, Callback: "https://" + s.Domain + "/webhooks", HasSecret: secret != ""}
	if err := s.write(program, dir, secret); err != nil {
		return nil, err
	}
	noteHidden(c, program, dir)
	return written, nil
}

// noteHidden notes that the unit cannot read what lies where systemd hides files from it.
func noteHidden(c *console, paths ...string) {
	for _, path := range paths {
		if slices.ContainsFunc([]string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}, func(hidden string) bool { return strings.HasPrefix(path+"/", hidden) }) {
			c.note("Note: the unit cannot read %s: keep the program in /usr/local/bin and the files in a directory of /etc, by --dir", path)
		}
	}
}

// ask asks on a terminal for what the flags do not say.
func (s *setup) ask(c *console) error {
	in, isFile := c.in.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) || c.taken != "" {
		return nil
	}
	lines := bufio.NewReader(io.LimitReader(c.in, 64<<10))
	for _, question := range []struct {
		answer *string
		text   func() string
	}{
		{&s.Domain, func() string { return "Domain of this gateway, such as hooks.example.com: " }},
		{&s.To, func() string { return "Who gets the events, php, http or file: " }},
		{&s.Target, func() string {
			kind := kinds[s.To]
			return fmt.Sprintf("Where is %s? [%s] ", kind.what, kind.standard)
		}},
	} {
		if *question.answer != "" || question.answer == &s.Target && kinds[s.To].what == "" {
			continue
		}
		fmt.Fprint(c.err, question.text())
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		*question.answer = strings.TrimSpace(line)
	}
	return nil
}

// validate sets what has a default, and returns an error for what would not be a word
// of a Caddyfile.
func (s *setup) validate() error {
	kind, known := kinds[s.To]
	if s.Target == "" {
		s.Target = kind.standard
	}
	fits, like := pathPattern.MatchString, "an absolute path"
	switch s.To {
	case "http":
		fits, like = isAddress, "like localhost:9000 or https://app.example.com"
	case "file":
		fits, like = isStateFile, "a file in "+stateDir+", where the unit may write"
	}
	switch {
	case !domainPattern.MatchString(s.Domain):
		return errors.New("--domain must be the name that Meta reaches this machine by, such as hooks.example.com")
	case !known:
		return errors.New("--to must be php, http or file")
	case !fits(s.Target):
		return fmt.Errorf("--target must be %s: %s", like, kind.what)
	}
	return nil
}

// isAddress reports whether an address is one for reverse_proxy, which takes 9000 for a host.
func isAddress(address string) bool {
	parts := addressPattern.FindStringSubmatch(address)
	if parts == nil {
		return false
	}
	port := parts[2] + parts[3]
	number, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && number > 0
}

func isStateFile(path string) bool {
	return pathPattern.MatchString(path) && filepath.ToSlash(filepath.Dir(path)) == stateDir
}

//go:embed init.Caddyfile
var caddyfileTemplate string

// write writes the files, or none of them.
func (s *setup) write(program, dir string, secret graph.Secret) (err error) {
	var config bytes.Buffer
	if err := template.Must(template.New("").Parse(caddyfileTemplate)).Execute(&config, s); err != nil {
		return err
	}
	var token [32]byte
	_, _ = rand.Read(token[:]) // it never fails
	environment := fmt.Sprintf("IG_VERIFY_TOKEN=%s\nIG_APP_SECRET=%s\n", hex.EncodeToString(token[:]), string(secret))
	unit, err := s.unit(program, dir)
	if err != nil {
		return err
	}
	if os.Mkdir(dir, 0o755) == nil {
		defer func() {
			if err != nil {
				_ = os.Remove(dir)
			}
		}()
	}
	for _, file := range []struct {
		name, content string
		mode          fs.FileMode
	}{
		{"Caddyfile", config.String(), 0o644},
		{"environment", environment, 0o600},
		{"caddy-instagram.service", unit, 0o644},
	} {
		path := filepath.Join(dir, file.name)
		if err := create(path, file.content, file.mode); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				_ = os.Remove(path) // it was made just now
			}
		}()
	}
	return nil
}

// create writes a file that does not exist.
func create(path, content string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// unit returns the systemd unit of the packages for this program and directory.
func (s *setup) unit(program, dir string) (string, error) {
	if strings.ContainsAny(program+dir, " \t\"'\\$%") {
		return "", errors.New("systemd would take the path of this program or of --dir apart: give it one without spaces, quotes, $, % and \\")
	}
	unit := strings.NewReplacer("/usr/bin/caddy-instagram", program, "/etc/caddy-instagram", dir,
		"\nGroup=caddy-instagram\n", "\n# The user exists as long as the service runs.\nDynamicUser=true\n").Replace(contrib.Unit)
	var more string
	if s.To == "php" {
		more = "# The group that may use the socket of PHP-FPM, which must exist.\n" + phpGroup() + "\n"
	}
	return strings.Replace(unit, "\n[Install]", more+"\n[Install]", 1), nil
}

// phpGroup returns the setting for the group of Debian's PHP-FPM, as a comment where there is
// none: with it, systemd would not start the unit.
func phpGroup() string {
	const group = "www-data"
	if _, err := user.LookupGroup(group); err != nil {
		return "#SupplementaryGroups=" + group
	}
	return "SupplementaryGroups=" + group
}

// setUp is the result of init.
type setUp struct {
	outcome
	Program   string `json:"program"`
	Directory string `json:"directory"`
	Callback  string `json:"callback_url"`
	HasSecret bool   `json:"has_app_secret"`
}

func (s *setUp) text(c *console) {
	step := 0
	next := func(format string, args ...any) {
		step++
		c.printf("\n%d. "+format, append([]any{step}, args...)...)
	}
	environment, config := filepath.Join(s.Directory, "environment"), filepath.Join(s.Directory, "Caddyfile")
	c.printf("Wrote Caddyfile, environment and caddy-instagram.service to %s.\n", s.Directory)
	if !s.HasSecret {
		next("Put the app secret into %s, as IG_APP_SECRET.\n   It stands in the App Dashboard: with Instagram Login under Instagram › API setup,\n   with Facebook Login under App settings › Basic.\n", environment)
	}
	next("Start the gateway, as root:\n     systemctl enable --now %s\n   or, without systemd:\n     %s run --config %s --envfile %s\n",
		filepath.Join(s.Directory, "caddy-instagram.service"), s.Program, config, environment)
	next("In the App Dashboard, with Instagram Login under Instagram › API setup › Configure webhooks,\n   with Facebook Login under Webhooks, press Verify and save with\n     Callback URL  %s\n     Verify token  the value of IG_VERIFY_TOKEN in %s\n", s.Callback, environment)
	next("Choose the fields there, and subscribe the account:\n     %s instagram subscriptions set --account <id> --fields comments,messages --token-file <file>\n", s.Program)
	next("Look for mistakes, as root, without XDG_DATA_HOME if Caddy runs without systemd:\n     set -a; . %s; XDG_DATA_HOME=%s; set +a\n     %s instagram check %s --config %s\n", environment, stateDir, s.Program, s.Callback, config)
}
