package caddyfile

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// line is a line of a Caddyfile as it came to be parsed. Caddy replaces {$NAME}
// before: what is missing then is known only from the file itself.
type line struct {
	file   string
	number int
	words  []string
}

// lineOf returns the line from the current token of d on. It leaves d as it is.
func lineOf(d *caddyfile.Dispenser) line {
	ahead := *d
	return line{d.File(), d.Line(), append([]string{d.Val()}, ahead.RemainingArgs()...)}
}

// explain adds to an error which variables of the line are empty, if any.
func (l line) explain(err error) error {
	if err == nil {
		return nil
	}
	if names := l.empty(); len(names) > 0 {
		return fmt.Errorf("%w: {$%s} in this line is empty: set the environment variable where the Caddyfile is read", err, strings.Join(names, "} and {$"))
	}
	return err
}

// complete returns an error if a variable of the line is empty, for options that
// would silently mean something else then.
func (l line) complete(d *caddyfile.Dispenser) error {
	if len(l.empty()) == 0 {
		return nil
	}
	return l.explain(d.Errf("%s is not complete", l.words[0]))
}

// variable is an environment variable that Caddy puts into the text, perhaps with
// a default.
var variable = regexp.MustCompile(`\{\$([^{}:\n]+)(:[^{}\n]*)?\}`)

// empty returns the names of the variables in the line that stand for nothing. It
// returns none if the file cannot be read, or is not what was parsed.
func (l line) empty() (names []string) {
	text := l.read()
	resolved := variable.ReplaceAllStringFunc(text, func(written string) string {
		parts := variable.FindStringSubmatch(written)
		value, set := os.LookupEnv(parts[1])
		if !set && parts[2] != "" {
			return parts[2][1:]
		}
		if value == "" && !slices.Contains(names, parts[1]) {
			names = append(names, parts[1])
		}
		return value
	})
	tokens, err := caddyfile.Tokenize([]byte(resolved), l.file)
	if err != nil {
		return nil
	}
	words := make([]string, 0, len(tokens))
	for _, token := range tokens {
		words = append(words, token.Text)
	}
	if n := len(words); n > 0 && words[n-1] == "{" {
		words = words[:n-1]
	}
	if !slices.Equal(words, l.words) {
		return nil
	}
	return names
}

// maxCaddyfile is how much of a Caddyfile is read, in bytes.
const maxCaddyfile = 4 << 20

// read returns the text of the line in the file, or nothing.
func (l line) read() string {
	if info, err := os.Stat(l.file); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(l.file)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCaddyfile))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	if l.number < 1 || l.number > len(lines) {
		return ""
	}
	return lines[l.number-1]
}
