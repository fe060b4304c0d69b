package examples_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the texts of all documentation, by path: what is in docs, and the
// README and its like.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../*.md")
	if err != nil || len(paths) < 4 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	paths = append(paths, "../bench/README.md", "../bench/figures.md")
	err = filepath.WalkDir("../docs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) < 14 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	return read(t, paths)
}

// TestReadmeSnippets loads the Caddyfiles and the JSON in the documentation.
func TestReadmeSnippets(t *testing.T) {
	all := codeBlocks(t)
	enterServer(t)
	loaded := 0
	for _, block := range all {
		if config := snippet(t, block.language, block.text); config != nil {
			loaded++
			for _, line := range provision(t, config) {
				if strings.HasPrefix(block.text, "hooks.") { // the others are parts of a config
					t.Errorf("loading it warns: %s\n%s", line, block.text)
				}
			}
		}
	}
	leftNothing(t)
	if loaded < 6 {
		t.Errorf("only %d snippets are configs", loaded)
	}
}

type codeBlock struct{ language, text string }

// codeBlocks returns those of the documentation.
func codeBlocks(t *testing.T) (all []codeBlock) {
	t.Helper()
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$").FindAllStringSubmatch(page, -1) {
			text := strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")
			all = append(all, codeBlock{m[2], strings.TrimSpace(text)})
		}
	}
	return all
}

// TestLinks follows the links within the documentation, and from it to other files
// here.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	followed := 0
	for from, text := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			target, anchor, anchored := strings.Cut(m[1], "#")
			to := from
			if target != "" {
				to = path.Join(path.Dir(from), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", from, m[1], err)
			} else if anchored && !slices.Contains(anchors(all[to]), anchor) {
				t.Errorf("%s links to %s: there is no such heading", from, m[1])
			}
		}
	}
	if followed < 80 {
		t.Errorf("only %d links", followed)
	}
}

// TestTables looks for rows of tables that go on in the next line, where they are none.
func TestTables(t *testing.T) {
	t.Parallel()
	rows := 0
	for page, text := range pages(t) {
		for n, line := range strings.Split(text, "\n") {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "| ") {
				continue
			}
			if rows++; !strings.HasSuffix(line, "|") {
				t.Errorf("%s:%d: this row of a table does not end: %s", page, n+1, line)
			}
		}
	}
	if rows < 200 {
		t.Errorf("only %d rows", rows)
	}
}

// TestReadmeLeadsToAllPages looks for pages that nobody would find.
func TestReadmeLeadsToAllPages(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page := range all {
		link := strings.TrimPrefix(page, "../")
		above := path.Dir(link) + "/README.md" // the page of a directory may lead to the others in it
		if link == "README.md" || strings.Contains(all["../README.md"], "]("+link) {
			continue
		}
		if above == link || !strings.Contains(all["../"+above], "]("+path.Base(link)) {
			t.Errorf("the README has no link to %s", link)
		}
	}
}

// anchors returns what the headings of a page are linked to by.
func anchors(text string) (all []string) {
	fenced := regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		kept := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}

// snippet returns the config that a code block stands for, or nil.
func snippet(t *testing.T, language, text string) []byte {
	t.Helper()
	switch {
	case language == "json" && (strings.Contains(text, `"handler"`) || strings.Contains(text, `"match"`) || strings.Contains(text, `"apps"`)):
		var route map[string]any
		if err := json.Unmarshal([]byte(moved(t, text)), &route); err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if route["apps"] != nil {
			return []byte(text)
		}
		if route["handler"] != nil {
			route = map[string]any{"handle": []any{route}}
		}
		config, err := json.Marshal(map[string]any{"apps": map[string]any{"http": map[string]any{"servers": map[string]any{
			"readme": map[string]any{"listen": []string{"127.0.0.1:0"}, "routes": []any{route}},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		return config
	case language == "" && !strings.Contains(text, "<"): // the others are syntax, or output
		if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "hooks.") && !strings.HasPrefix(text, "instagram_") {
			return nil
		}
		if strings.HasPrefix(text, "instagram_") {
			text = ":8080 {\n\t" + strings.ReplaceAll(text, "\n", "\n\t") + "\n}"
		}
		return adapt(t, "snippet", text)
	}
	return nil
}
