package command

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// usages returns the lines of a text that call `caddy instagram`, without line
// breaks.
func usages(text string) (lines [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "$ "), "./")
		line, _, _ = strings.Cut(line, " > ")
		line, _, _ = strings.Cut(line, " | ")
		if args, found := strings.CutPrefix(line, "caddy instagram "); found {
			lines = append(lines, strings.Fields(args))
		}
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

func TestREADME(t *testing.T) {
	t.Parallel()
	var found [][]string
	for _, name := range []string{"../README.md", "README-chapter.md"} {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		found = append(found, usages(string(data))...)
	}
	if len(found) < 10 {
		t.Errorf("only %d examples", len(found))
	}
	for _, args := range found {
		checkUsage(t, args)
	}
}
