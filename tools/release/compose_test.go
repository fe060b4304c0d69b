package main

import (
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestComposeFiles loads the compose files of the examples as `docker compose config`
// does, with the environment of example.env.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../examples/*/compose.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found only %v: %v", paths, err)
	}
	for _, path := range paths {
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		env, err := dotenv.Read(filepath.Join(dir, "example.env"))
		if err != nil {
			t.Fatal(err)
		}
		details := types.ConfigDetails{WorkingDir: dir, Environment: env, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}}}
		project, err := loader.LoadWithContext(t.Context(), details)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if _, err := project.GetService("gateway"); err != nil {
			if _, err := project.GetService("gateway1"); err != nil {
				t.Errorf("%s has no gateway", path)
			}
		}
		delete(env, "IG_APP_SECRET")
		if _, err := loader.LoadWithContext(t.Context(), details); err == nil {
			t.Errorf("%s is loaded without an app secret", path)
		}
	}
}
