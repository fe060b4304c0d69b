package command

import (
	"os"
	"slices"
	"strings"
	"testing"

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
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"Default: `" + graph.DefaultVersion + "`"}
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
	for _, want := range []string{"`" + graph.DefaultVersion + "`", "--login " + strings.ReplaceAll(graph.LoginList(), ", ", "|")} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("README.md does not have %s", want)
		}
	}
}
