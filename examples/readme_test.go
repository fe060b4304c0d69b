package examples_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestReadmeSnippets loads the Caddyfiles and the JSON of the README.
func TestReadmeSnippets(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	enterServer(t)
	loaded := 0
	for _, m := range regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$").FindAllStringSubmatch(string(readme), -1) {
		text := strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")
		if config := snippet(t, m[2], strings.TrimSpace(text)); config != nil {
			loaded++
			provision(t, config)
		}
	}
	leftNothing(t)
	if loaded < 6 {
		t.Errorf("only %d snippets of the README are configs", loaded)
	}
}

// snippet returns the config that a code block stands for, or nil.
func snippet(t *testing.T, language, text string) []byte {
	t.Helper()
	switch {
	case language == "json" && (strings.Contains(text, `"handler"`) || strings.Contains(text, `"match"`)):
		var route map[string]any
		if err := json.Unmarshal([]byte(text), &route); err != nil {
			t.Fatalf("%s\n%v", text, err)
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
			text = ":8080 {\n\t" + text + "\n}"
		}
		config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(append(bytes.TrimSpace([]byte(text)), '\n'), nil)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s\n%v %v", text, err, warnings)
		}
		return config
	}
	return nil
}
