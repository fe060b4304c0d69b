package examples_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestPlaceholdersAreDocumented tries each name in the documentation, and looks
// there for each that the code compares with.
func TestPlaceholdersAreDocumented(t *testing.T) {
	t.Parallel()
	delivery := &event.Delivery{Body: []byte(`{"object":"instagram","entry":[{"id":"1","time":1,"changes":[{"field":"comments","value":{"id":"2"}}]}]}`)}
	for path, text := range pages(t) {
		for _, name := range regexp.MustCompile(`\{(instagram\.\w+)\}`).FindAllStringSubmatch(text, -1) {
			if _, ok := delivery.Lookup(name[1]); !ok {
				t.Errorf("%s has the placeholder {%s}, and the code does not", path, name[1])
			}
		}
	}
	page := pages(t)["../docs/events.md"]
	found := 0
	for _, name := range literals(t, "../event/placeholder.go", func(ast.Node) bool { return true }) {
		if _, ok := delivery.Placeholder(name); ok {
			found++
			if !strings.Contains(page, "| `{instagram."+name+"}` |") {
				t.Errorf("docs/events.md does not have the placeholder {instagram.%s}", name)
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d placeholders", found)
	}
}

// TestHeadersAndLoggersAreDocumented looks for the headers that an application
// gets and for the names of loggers, which stand in the code as text.
func TestHeadersAndLoggersAreDocumented(t *testing.T) {
	t.Parallel()
	all := pages(t)
	var receiving strings.Builder
	for name, text := range all {
		if strings.HasPrefix(name, "../docs/receiving") {
			receiving.WriteString(text)
		}
	}
	header := regexp.MustCompile(`^(X-Instagram-|Ce-|Idempotency-)[A-Za-z-]+$`)
	code := make(map[string]bool)
	for _, name := range literals(t, "../internal/queue/request.go", func(ast.Node) bool { return true }) {
		if header.MatchString(name) {
			code[name] = true
			if !strings.Contains(receiving.String(), "`"+name+"`") {
				t.Errorf("docs/receiving does not have the header %s", name)
			}
		}
	}
	if len(code) < 8 {
		t.Errorf("only the headers %v", code)
	}
	for name, text := range all {
		for _, m := range regexp.MustCompile("`(X-Instagram-[A-Za-z-]+|Ce-[A-Za-z-]+)`").FindAllStringSubmatch(text, -1) {
			if !code[m[1]] {
				t.Errorf("%s has the header %s, and the code does not", name, m[1])
			}
		}
	}

	loggers := map[string]bool{"http.log.access": true, "http.log.error": true} // of Caddy, for which internal/accesslog writes
	for _, module := range modules() {
		loggers[string(module.ID)] = true
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, name := range literals(t, path, isNamed) {
			if name == "caddyfile" || strings.HasPrefix(name, "log.") { // Caddy's
				continue
			}
			loggers[name] = true
			if !strings.Contains(all["../docs/operating.md"], "| `"+name+"` |") {
				t.Errorf("docs/operating.md does not have the logger %s, of %s", name, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_, table, _ := strings.Cut(all["../docs/operating.md"], "\n## Logs\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			if !loggers[strings.Trim(name, "`")] {
				t.Errorf("docs/operating.md has the logger %s, and the code does not", name)
			}
		}
	}
}

// isNamed reports whether a node is a call of Named, which makes a logger.
func isNamed(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	return ok && function.Sel.Name == "Named"
}

// literals returns the texts in the nodes of a file that are wanted, but for those
// of imports and tags.
func literals(t *testing.T, path string, wanted func(ast.Node) bool) (all []string) {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for n := range ast.Preorder(file) {
		if !wanted(n) {
			continue
		}
		for inner := range ast.Preorder(n) {
			if literal, ok := inner.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && !slices.Contains(all, text) {
					all = append(all, text)
				}
			}
		}
	}
	return all
}
