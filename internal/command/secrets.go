package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// maxSecret is the length of the longest secret, in bytes.
const maxSecret = 4096

// secretSource is where a secret comes from: a flag if it is given, else the
// environment.
type secretSource struct {
	what     string // such as "access token"
	flag     string // the flag with a file's name
	env      string
	argument string // the flag with the secret itself, if there is one

	file, value string // what the flags say
}

var (
	accessToken = secretSource{what: "access token", flag: "token-file", env: "IG_ACCESS_TOKEN"}
	verifyToken = secretSource{what: "verify token", flag: "verify-token-file", env: "IG_VERIFY_TOKEN"}

	// appSecret may also be an argument, to try things out with a made-up one.
	appSecret = secretSource{what: "app secret", flag: "app-secret-file", env: "IG_APP_SECRET", argument: "app-secret"}
)

// register adds the flags to a command.
func (s *secretSource) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, s.flag, "", fmt.Sprintf("The `file` with the %s; - is the standard input (default: the environment variable %s)", s.what, s.env))
	if s.argument == "" {
		return
	}
	cmd.Flags().StringVar(&s.value, s.argument, "", fmt.Sprintf("The %s itself, for a made-up `secret` only: others on this machine can see arguments", s.what))
	cmd.MarkFlagsMutuallyExclusive(s.flag, s.argument)
}

// read returns the secret, or an error if none was given.
func (s *secretSource) read(c *console) (graph.Secret, error) {
	secret, err := s.lookup(c)
	if err == nil && secret == "" {
		err = s.missing()
	}
	return secret, err
}

// warn notes what looks wrong with an app secret, without repeating any part of it:
// what is signed with it may be refused everywhere. A made-up one, given as an
// argument, may be any text.
func (s *secretSource) warn(c *console, secret graph.Secret) {
	describe := secretcheck.Describe
	if c.flags.Changed(s.argument) {
		describe = secretcheck.Mangled
	}
	if problem := describe(string(secret)); problem != "" && secret != "" {
		c.note("Note: the %s looks wrong: %s", s.what, problem)
	}
}

func (s *secretSource) missing() error {
	return fmt.Errorf("the %s is missing: set %s or give --%s", s.what, s.env, s.flag)
}

// lookup returns the secret, or "" if none was given.
func (s *secretSource) lookup(c *console) (graph.Secret, error) {
	switch {
	case c.flags.Changed(s.argument):
		return s.parse("--"+s.argument, s.value)
	case s.file != "":
		return s.readFile(c)
	case os.Getenv(s.env) != "":
		return s.parse(s.env, os.Getenv(s.env))
	}
	return "", nil
}

func (s *secretSource) readFile(c *console) (graph.Secret, error) {
	f, err := c.open(s.file, s.what)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+3)) // and a newline, and what is too much
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", s.what, err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	if len(text) < len(data) {
		text = strings.TrimSuffix(text, "\r")
	}
	from := s.file
	if from == "-" {
		from = "the standard input"
	}
	return s.parse(from, text)
}

// parse returns an error for text that cannot be a secret, without repeating it.
func (s *secretSource) parse(from, text string) (graph.Secret, error) {
	var err error
	switch {
	case text == "":
		err = errors.New("it is empty")
	case len(text) > maxSecret:
		err = fmt.Errorf("it is longer than %d bytes", maxSecret)
	case strings.ContainsFunc(text, unicode.IsControl):
		err = errors.New("it has several lines, or control characters")
	}
	if err != nil {
		return "", fmt.Errorf("%s holds no %s: %w", from, s.what, err)
	}
	return graph.Secret(text), nil
}
