package command

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

// TestDocsHaveWhatTheTablesHave looks in the docs for what the code has in one
// place: a login that is added, or a version that is raised, is not forgotten
// there.
func TestDocsHaveWhatTheTablesHave(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{
		"Default: `" + graph.DefaultVersion + "`",
		"--login " + strings.ReplaceAll(graph.LoginList(), ", ", "|"),
	}
	for _, l := range graph.Logins() {
		wanted = append(wanted, l.Name(), "`"+string(l)+"`", "`"+l.Host()+"`", "`"+strings.Join(l.Basic(), "`, `")+"`")
		for _, f := range event.Fields() {
			if p := l.Permission(f); p != "" {
				wanted = append(wanted, p)
			}
			if l == graph.UnifiedLogin && slices.Contains(l.Fields(), f.Name) {
				wanted = append(wanted, "`"+f.Name+"`")
			}
		}
	}
	for _, f := range event.Fields() {
		if f.Page != "" && f.Page != f.Name {
			wanted = append(wanted, "| `"+f.Name+"` | `"+f.Page+"` |")
		}
	}
	for _, want := range wanted {
		if !strings.Contains(string(docs), want) {
			t.Errorf("docs/commands.md does not have %s", want)
		}
	}
}

// TestDocsOfCheckHaveItsFlags looks in the syntax for each flag of check but
// those that are for tests.
func TestDocsOfCheckHaveItsFlags(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	_, syntax, _ := strings.Cut(string(docs), "\n```\n")
	syntax, _, _ = strings.Cut(syntax, "\n```\n")
	wanted := []string{"--json]", "[--login " + strings.ReplaceAll(graph.LoginList(), ", ", "|") + "]"}
	checkCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "app-secret" && f.Name != "graph-url" {
			wanted = append(wanted, "--"+f.Name)
		}
	})
	if len(wanted) < 15 {
		t.Errorf("only %d flags", len(wanted))
	}
	for _, want := range wanted {
		if !regexp.MustCompile(regexp.QuoteMeta(want) + `(?:[\] ]|$)`).MatchString(syntax) {
			t.Errorf("the syntax in docs/check.md does not have %s", want)
		}
	}
}

// docsPages returns the texts of all pages in docs, by path.
func docsPages(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	err := filepath.WalkDir("../../docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			var text []byte
			text, err = os.ReadFile(path)
			pages[path] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestCommandsAreDocumented looks for each command in the docs, and for each of its
// flags on a page that has the command. TestREADME looks the other way round.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	pages := docsPages(t)
	top := &cobra.Command{Use: "caddy"}
	instagram := &cobra.Command{Use: "instagram"}
	top.AddCommand(instagram)
	root(instagram)
	found := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			visit(child)
		}
		if cmd.HasSubCommands() || cmd.Hidden {
			return
		}
		found++
		named := regexp.MustCompile(`\b` + cmd.CommandPath() + `\b`)
		var about strings.Builder
		for _, text := range pages {
			if named.MatchString(text) {
				about.WriteString(text)
			}
		}
		if about.Len() == 0 {
			t.Errorf("no page has %s", cmd.CommandPath())
			return
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !regexp.MustCompile("--"+f.Name+`\b`).MatchString(about.String()) {
				t.Errorf("no page that has %s has its flag --%s", cmd.CommandPath(), f.Name)
			}
		})
	}
	visit(instagram)
	if found < 25 {
		t.Errorf("only %d commands", found)
	}
}
