package command

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

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
