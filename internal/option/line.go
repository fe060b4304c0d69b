package option

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Line is a line of a Caddyfile as it came to be parsed. Caddy replaces {$NAME} before that, so which variable was
// empty is known only from the file itself.
type Line struct {
	file   string
	number int
	words  []string
}

// LineOf returns the line from the current token of d on. It leaves d as it is.
func LineOf(d *caddyfile.Dispenser) Line {
	ahead := *d
	return Line{d.File(), d.Line(), append([]string{d.Val()}, ahead.RemainingArgs()...)}
}

// Explain adds to an error which variables of the line are empty, if any.
func (l Line) Explain(err error) error {
	names := l.empty()
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w: {$%s} in this line is empty: set the environment variable where the Caddyfile is read",
		err, strings.Join(names, "} and {$"))
}

// Complete returns an error if a variable of the line is empty.
func (l Line) Complete(d *caddyfile.Dispenser) error {
	if len(l.empty()) == 0 {
		return nil
	}
	return l.Explain(d.Errf("%s is not complete", l.words[0]))
}

// variable matches an environment variable that Caddy puts into the text, perhaps with a default.
var variable = regexp.MustCompile(`\{\$([^{}:\n]+)(:[^{}\n]*)?\}`)

// empty returns the names of the variables in the line that are empty: by an empty default too, or but for white space.
// It returns none if the file cannot be read, or is not what was parsed.
func (l Line) empty() (names []string) {
	resolved := variable.ReplaceAllStringFunc(l.read(), func(reference string) string {
		parts := variable.FindStringSubmatch(reference)
		value, set := os.LookupEnv(parts[1])
		if !set {
			value = strings.TrimPrefix(parts[2], ":")
		}
		if strings.TrimSpace(value) == "" && !slices.Contains(names, parts[1]) {
			names = append(names, parts[1])
		}
		return value
	})
	tokens, err := caddyfile.Tokenize([]byte(resolved), l.file)
	if err != nil {
		return nil
	}
	var words []string
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

// maxCaddyfile is the size of the largest Caddyfile that is read, in bytes.
const maxCaddyfile = 4 << 20

// read returns the text of the line in the file, with the lines that go on with it after a backslash, or nothing.
func (l Line) read() string {
	info, err := os.Stat(l.file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxCaddyfile {
		return ""
	}
	text, err := os.ReadFile(l.file)
	lines := strings.Split(string(text), "\n")
	if err != nil || l.number < 1 || l.number > len(lines) {
		return ""
	}
	last := l.number - 1
	for last < len(lines)-1 && strings.HasSuffix(strings.TrimSuffix(lines[last], "\r"), `\`) {
		last++
	}
	return strings.Join(lines[l.number-1:last+1], "\n")
}
