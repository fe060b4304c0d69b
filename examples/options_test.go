package examples_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// directives are what the options of Caddyfiles belong to: how a Caddyfile gets
// there, with %s for what stands in its block, and the page with its syntax.
var directives = map[string]struct{ config, page string }{
	"instagram_webhook":        {":80 {\n instagram_webhook {\n%s\n}\n}", "webhook.md"},
	"instagram_queue":          {":80 {\n instagram_queue {\n%s\n}\n}", "queue.md"},
	"instagram_file":           {":80 {\n instagram_file events.jsonl {\n%s\n}\n}", "files.md"},
	"instagram_inspector":      {":80 {\n instagram_inspector {\n%s\n}\n}", "inspector.md"},
	"instagram_signed_request": {":80 {\n instagram_signed_request deauthorize {\n%s\n}\n}", "signed-request.md"},
	"the matcher instagram":    {":80 {\n @a instagram {\n%s\n}\n}", "matcher.md"},
	"instagram":                {"{\n instagram {\n%s\n}\n}", "accounts.md alerts.md"},
}

// TestOptionsAreDocumented asks each directive for its options, by one that does
// not exist, and looks for them in the syntax on its page; and the other way round.
func TestOptionsAreDocumented(t *testing.T) {
	for _, module := range modules() {
		if name := strings.TrimPrefix(module.String(), "http.handlers."); strings.HasPrefix(name, "instagram_") && !strings.Contains(name, ".") {
			if _, known := directives[name]; !known {
				t.Errorf("this test does not know the directive %s", name)
			}
		}
	}
	for name, directive := range directives {
		code, docs := make(map[string]bool), make(map[string]bool)
		for _, option := range optionsIn(directive.config, 0) {
			code[option] = true
		}
		if len(code) < 2 {
			t.Errorf("%s has only the options %v", name, code)
		}
		for _, page := range strings.Fields(directive.page) {
			for _, option := range syntaxOptions(t, page) {
				docs[option] = true
			}
		}
		for _, option := range missing(code, docs) {
			t.Errorf("the syntax in %s does not have the option %s of %s", directive.page, option, name)
		}
		for _, option := range missing(docs, code) {
			t.Errorf("the syntax in %s has %s, which is no option of %s", directive.page, option, name)
		}
	}
}

// optionsIn returns the options of a block, and of the blocks of these.
func optionsIn(config string, depth int) (all []string) {
	listed := regexp.MustCompile(`the options (?:beside them )?are ([a-z0-9_, ]+?)(?:, at |\. |$)`)
	const unknown = "no_such_option"
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(strings.Replace(config, "%s", unknown+"\n", 1)), nil)
	if err == nil || depth > 3 {
		return nil
	}
	m := listed.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	for _, option := range strings.Split(strings.ReplaceAll(m[1], " and ", ", "), ", ") {
		all = append(all, option)
		for _, block := range []string{" {\n%s\n}", " 17841400000000001 {\n%s\n}", " sqlite {\n%s\n}", " postgres {\n%s\n}"} {
			for _, inner := range optionsIn(strings.Replace(config, "%s", option+block, 1), depth+1) {
				if !slices.Contains(all, inner) {
					all = append(all, inner)
				}
			}
		}
	}
	return all
}

// syntaxOptions returns the options in the syntax of a page: the first words of
// the lines in a block that has <placeholders>, but for those of Caddy itself.
func syntaxOptions(t *testing.T, page string) (all []string) {
	t.Helper()
	text := pages(t)["../docs/configuration/"+page]
	for _, m := range regexp.MustCompile("(?ms)^```\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "<") {
			continue
		}
		for _, line := range regexp.MustCompile(`(?m)^\t+([a-z0-9_]+)\b`).FindAllStringSubmatch(m[1], -1) {
			if line[1] != "instagram" {
				all = append(all, line[1])
			}
		}
	}
	return all
}

// TestJSONIsThatOfTheCaddyfile adapts each Caddyfile that the documentation shows
// with its JSON.
func TestJSONIsThatOfTheCaddyfile(t *testing.T) {
	all := pages(t)
	enterServer(t)
	pair := regexp.MustCompile("(?m)^```\n((?:[^`\n].*\n)+)```\n\nis in JSON:\n\n```json\n((?:[^`\n].*\n)+)```$")
	keys := make(map[string]bool)
	for name, text := range all {
		if !strings.HasPrefix(name, "../docs/configuration/") {
			continue
		}
		pairs := pair.FindAllStringSubmatch(text, -1)
		if len(pairs) == 0 {
			t.Errorf("%s does not show how its Caddyfile is in JSON", name)
		}
		for _, m := range pairs {
			caddyfile := m[1]
			if !strings.HasPrefix(caddyfile, "{") {
				caddyfile = ":80 {\n" + caddyfile + "}\n"
			}
			var shown, adapted any
			if err := json.Unmarshal([]byte(m[2]), &shown); err != nil {
				t.Errorf("%s: %v\n%s", name, err, m[2])
				continue
			}
			text, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
			if err != nil || len(warnings) > 1 { // one: that it is not formatted
				t.Errorf("%s: %v %v\n%s", name, err, warnings, caddyfile)
				continue
			}
			if err := json.Unmarshal(text, &adapted); err != nil {
				t.Fatal(err)
			}
			if !holds(adapted, shown) {
				t.Errorf("%s: the JSON is\n%s\nbut it shows\n%s", name, text, m[2])
			}
			for key := range keysOf(shown) {
				keys[key] = true
			}
		}
	}
	for _, module := range modules() {
		for _, key := range jsonNames(reflect.TypeOf(module.New()), nil) {
			if !keys[key] && !strings.Contains(strings.Join(slices.Collect(maps.Values(all)), ""), "`\""+key+"\":") {
				t.Errorf("no JSON in docs/configuration has %q of %s", key, module.ID)
			}
		}
	}
}

// holds reports whether a value is in a config. A duration may be written as text.
func holds(config, value any) bool {
	if same(config, value) {
		return true
	}
	switch config := config.(type) {
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(config)), func(v any) bool { return holds(v, value) })
	case []any:
		return slices.ContainsFunc(config, func(v any) bool { return holds(v, value) })
	}
	return false
}

func same(config, value any) bool {
	switch value := value.(type) {
	case map[string]any:
		config, ok := config.(map[string]any)
		if !ok {
			return false
		}
		for key := range value {
			if !same(config[key], value[key]) {
				return false
			}
		}
		// A route may have more: what is beside its matchers, or its handlers.
		return len(config) == len(value) || value["match"] != nil && len(value) == 1 || value["apps"] != nil
	case []any:
		config, ok := config.([]any)
		return ok && slices.EqualFunc(config, value, same)
	case string:
		if number, ok := config.(float64); ok {
			d, err := caddy.ParseDuration(value)
			return err == nil && float64(d) == number
		}
	}
	return config == value
}

func keysOf(value any) map[string]bool {
	all := make(map[string]bool)
	var visit func(any)
	visit = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, v := range value {
				all[key] = true
				visit(v)
			}
		case []any:
			for _, v := range value {
				visit(v)
			}
		}
	}
	visit(value)
	return all
}

// jsonNames returns those of the fields of a type, and of the types of these.
func jsonNames(t reflect.Type, seen []reflect.Type) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(seen, t) || !strings.Contains(t.PkgPath(), "caddy-instagram") {
		return nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || name == "" && !field.Anonymous {
			continue
		}
		if name != "" {
			all = append(all, name)
		}
		all = append(all, jsonNames(field.Type, append(seen, t))...)
	}
	return all
}

// modules returns those of this repository.
func modules() (all []caddy.ModuleInfo) {
	for _, name := range caddy.Modules() {
		if module, err := caddy.GetModule(name); err == nil && strings.Contains(name, "instagram") {
			all = append(all, module)
		}
	}
	return all
}
