package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/template"

	"github.com/goreleaser/nfpm/v2"
	"go.yaml.in/yaml/v3"
)

// config is what this command needs of .goreleaser.yaml.
type config struct {
	ProjectName string `yaml:"project_name"`
	Builds      []build
	NFPMs       []packages
}

// build says how the program is compiled.
type build struct {
	Main, Binary              string
	Env, Flags, Tags, Ldflags []string
}

// packages say what is in the packages. The words are those of nfpm, except for a few.
type packages struct {
	Formats []string
	words   map[string]any // of nfpm
	nfpm    nfpm.Config
}

// UnmarshalYAML keeps the words that are nfpm's.
func (p *packages) UnmarshalYAML(node *yaml.Node) error {
	if err := node.Decode(&struct{ Formats *[]string }{&p.Formats}); err != nil {
		return err
	}
	if err := node.Decode(&p.words); err != nil {
		return err
	}
	delete(p.words, "formats")
	rename(p.words)
	for _, override := range mapping(p.words["overrides"]) {
		rename(mapping(override))
	}
	return nil
}

// parse has nfpm read its words.
func (p *packages) parse(name, version, arch string) error {
	p.words["name"], p.words["version"], p.words["arch"] = name, version, arch
	text, err := yaml.Marshal(p.words)
	if err != nil {
		return err
	}
	p.nfpm, err = nfpm.Parse(bytes.NewReader(text))
	return err
}

// rename gives a word of goreleaser's the name that it has in nfpm.
func rename(words map[string]any) {
	if dependencies, ok := words["dependencies"]; ok {
		delete(words, "dependencies")
		words["depends"] = dependencies
	}
}

func mapping(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

// readConfig reads .goreleaser.yaml, with its templates executed.
func readConfig(path, version, arch string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	timestamp, err := git("--format=%ct")
	if err != nil {
		return nil, err
	}
	date, err := git("--format=%cI")
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values := map[string]string{"Version": version, "CommitTimestamp": timestamp, "CommitDate": date}
	sections := document.Content[0].Content
	for i, key := range sections {
		// The templates of other sections need what only goreleaser knows.
		if key.Value == "builds" || key.Value == "nfpms" {
			if err := execute(sections[i+1], values); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	c := new(config)
	if err := document.Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(c.Builds) != 1 || len(c.NFPMs) != 1 {
		return nil, fmt.Errorf("%s: %d builds and %d nfpms, but this command knows one of each", path, len(c.Builds), len(c.NFPMs))
	}
	if err := c.NFPMs[0].parse(c.ProjectName, version, arch); err != nil {
		return nil, fmt.Errorf("%s: nfpms: %w", path, err)
	}
	return c, nil
}

// execute executes the templates in all texts below a node.
func execute(node *yaml.Node, values map[string]string) error {
	if node.Kind == yaml.ScalarNode && strings.Contains(node.Value, "{{") {
		var out strings.Builder
		t, err := template.New("").Option("missingkey=error").Parse(node.Value)
		if err == nil {
			err = t.Execute(&out, values)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		node.SetString(out.String())
	}
	for _, child := range node.Content {
		if err := execute(child, values); err != nil {
			return err
		}
	}
	return nil
}

func git(format string) (string, error) {
	out, err := exec.Command("git", "log", "-1", format).Output()
	if err != nil {
		return "", fmt.Errorf("git log: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
