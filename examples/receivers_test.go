package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReceiversAreDocumented holds what the documentation shows of applications against
// the files that are tested.
func TestReceiversAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/receivers.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	err = filepath.WalkDir("receivers", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		if !strings.Contains(string(page), "\n"+strings.TrimSpace(string(text))+"\n```\n") {
			t.Errorf("docs/receivers.md does not show %s as it is", path)
		}
		shown++
		return err
	})
	if err != nil || shown < 10 {
		t.Errorf("only %d files, %v", shown, err)
	}
}
