package admin

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestAdvice holds the advice to the table in the documentation.
func TestAdvice(t *testing.T) {
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| \d{3} \| (.*) \| (.*) \|$`).FindAllStringSubmatch(string(page), -1) {
		for _, reason := range strings.Split(row[1], ", ") {
			documented[strings.Trim(reason, "`")] = strings.ReplaceAll(link.ReplaceAllString(row[2], "$1"), "`", "")
		}
	}
	for reason, want := range documented {
		if advice[reason] != want {
			t.Errorf("about %s it advises %q, and the documentation %q", reason, advice[reason], want)
		}
	}
	if !maps.EqualFunc(advice, documented, func(string, string) bool { return true }) {
		t.Errorf("there is advice about %d reasons, and %d are documented", len(advice), len(documented))
	}
}
