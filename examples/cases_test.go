package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCasesHaveTheirTests looks for each test that docs/cases.md names.
func TestCasesHaveTheirTests(t *testing.T) {
	page, err := os.ReadFile("../docs/cases.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			tests[filepath.Base(filepath.Dir(path))+"."+string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(\\w+\\.Test\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(names) < 50 {
		t.Errorf("only %d cases", len(names))
	}
	for _, name := range names {
		if !tests[name[1]] {
			t.Errorf("there is no test %s", name[1])
		}
	}
}
