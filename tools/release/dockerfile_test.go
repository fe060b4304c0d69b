package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// anyImage stands for a registry that has every image, so that a lint asks none.
type anyImage struct{}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (anyImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture": "amd64", "os": "linux"}`), nil
}

// lintDockerfile returns what `docker build --check` warns of, with no Docker engine.
func lintDockerfile(ctx context.Context, text []byte) (warnings []string, err error) {
	_, err = dockerfile2llb.Dockerfile2LLB(ctx, text, dockerfile2llb.ConvertOpt{
		MetaResolver:   anyImage{},
		TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: "arm64"},
		SourceMap:      llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text),
		AllStages:      true,
		Warn: func(rule, _, _, message string, at []parser.Range) {
			warnings = append(warnings, fmt.Sprintf("line %d: %s: %s", at[0].Start.Line, rule, message))
		},
	})
	return warnings, err
}

// TestDockerfile lints the Dockerfile, and shows that a mistake in it would be found.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if warnings, err := lintDockerfile(t.Context(), text); err != nil || len(warnings) > 0 {
		t.Errorf("%v\n%s", err, strings.Join(warnings, "\n"))
	}
	for mistake, want := range map[[2]string]string{
		{"COPY contrib/", "COPY $CONTRIB/"}:     "UndefinedVar",
		{`CMD ["caddy", "run", `, `CMD caddy `}: "JSONArgsRecommended",
		{"USER ", "ENV APP_SECRET=x\nUSER "}:    "SecretsUsedInArgOrEnv",
		{"WORKDIR /data", "WORKDIR data"}:       "WorkdirRelativePath",
	} {
		wrong := bytes.Replace(text, []byte(mistake[0]), []byte(mistake[1]), 1)
		warnings, err := lintDockerfile(t.Context(), wrong)
		if found := func(warning string) bool { return strings.Contains(warning, want) }; err != nil || !slices.ContainsFunc(warnings, found) {
			t.Errorf("%q: %v, %q, want %s", mistake[1], err, warnings, want)
		}
	}
	wrong := bytes.Replace(text, []byte("--from=build "), []byte("--from=built "), 1)
	if _, err := lintDockerfile(t.Context(), append(wrong, "FORM scratch\n"...)); err == nil {
		t.Error("an instruction that does not exist is accepted")
	}
}
