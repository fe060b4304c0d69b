package command

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// variables matches what is set for one command only.
var variables = regexp.MustCompile(`^([A-Z_]+=\S* +)+`)

// usages returns the lines of a text that call `caddy instagram`, without line
// breaks.
func usages(text string) (lines [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = variables.ReplaceAllString(strings.TrimPrefix(strings.TrimSpace(line), "$ "), "")
		line = strings.TrimPrefix(strings.TrimPrefix(line, "go run ./cmd/"), "./")
		line, _, _ = strings.Cut(strings.TrimSuffix(line, " &"), " > ")
		line, _, _ = strings.Cut(line, " | ")
		if args, found := strings.CutPrefix(line, "caddy instagram "); found {
			lines = append(lines, alternatives(strings.Fields(args))...)
		}
	}
	return lines
}

// alternatives returns the command lines that one like "queue list|show" stands
// for.
func alternatives(args []string) (lines [][]string) {
	if len(args) < 2 || !strings.Contains(args[1], "|") {
		return [][]string{args}
	}
	for name := range strings.SplitSeq(args[1], "|") {
		lines = append(lines, slices.Concat(args[:1], []string{name}, args[2:]))
	}
	return lines
}

// checkUsage fails if a command line names a command or a flag that is not there.
func checkUsage(t *testing.T, args []string) {
	t.Helper()
	top := &cobra.Command{Use: "instagram"}
	root(top)
	cmd, rest, err := top.Find(args)
	if err != nil || cmd == top || cmd.HasSubCommands() {
		t.Errorf("%q is no sub-command: %v", args, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", args, err)
	}
}

func TestHelpTexts(t *testing.T) {
	t.Parallel()
	top := &cobra.Command{Use: "instagram"}
	root(top)
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !strings.Contains(cmd.Long, "Exit codes:") {
			t.Errorf("%s: the help has no exit codes", cmd.CommandPath())
		}
		if !strings.Contains(cmd.Long, outputCode) {
			t.Errorf("%s: the help does not tell the exit code of a full disk behind it", cmd.CommandPath())
		}
		if !cmd.HasSubCommands() && cmd.Name() != "help" {
			examples := usages(cmd.Example)
			if len(examples) == 0 {
				t.Errorf("%s: the help has no example", cmd.CommandPath())
			}
			for _, args := range examples {
				checkUsage(t, args)
			}
		}
		for _, child := range cmd.Commands() {
			visit(child)
		}
	}
	visit(top)
}

// TestREADME looks for every command and every flag that the README and docs
// name.
func TestREADME(t *testing.T) {
	t.Parallel()
	pages := docsPages(t)
	const readme = "../../README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	pages[readme] = string(text)
	least := map[string]int{"README.md": 6, "commands.md": 15, "check.md": 1, "simulate.md": 8, "queue-commands.md": 14}
	flag := regexp.MustCompile("(?:\\*\\*|`|\\[|\\(|\\| )--([a-z-]+)")
	for path, text := range pages {
		found := usages(text)
		if n := least[filepath.Base(path)]; len(found) < n {
			t.Errorf("%s: only %d examples", path, len(found))
		}
		delete(least, filepath.Base(path))
		for _, args := range found {
			checkUsage(t, args)
		}
		top := &cobra.Command{Use: "instagram"}
		root(top)
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if !hasFlag(top, m[1]) {
				t.Errorf("%s: no command has the flag --%s", path, m[1])
			}
		}
	}
	for name := range least {
		t.Errorf("there is no %s", name)
	}
}

// hasFlag reports whether a command, or one of its sub-commands, has a flag.
func hasFlag(cmd *cobra.Command, name string) bool {
	return name == "help" || cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil ||
		slices.ContainsFunc(cmd.Commands(), func(child *cobra.Command) bool { return hasFlag(child, name) })
}
