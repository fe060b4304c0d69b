// Command release makes the program and the Linux packages of a snapshot from
// .goreleaser.yaml, as goreleaser does with that file for a release. CI installs them.
// To compile goreleaser itself, and Caddy for all systems, takes CI too long.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	root := flag.String("root", "../..", "the `directory` of .goreleaser.yaml")
	out := flag.String("out", "", "the `directory` for the program and the packages")
	version := flag.String("version", "", "the `version`, such as 1.0.1-next")
	arch := flag.String("arch", "amd64", "the `architecture`")
	flag.Parse()
	if err := run(*root, *out, *version, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(root, out, version, arch string) error {
	if out == "" || version == "" || flag.NArg() > 0 {
		return errors.New("give -out and -version, and nothing else but flags")
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	c, err := readConfig(".goreleaser.yaml", version, arch)
	if err != nil {
		return err
	}
	program := filepath.Join(out, c.Builds[0].Binary)
	if err := c.Builds[0].build(program, arch); err != nil {
		return err
	}
	return c.pack(out, program, version, arch)
}

// build compiles the program for Linux.
func (b *build) build(path, arch string) error {
	args := append([]string{"build", "-o", path, "-tags", strings.Join(b.Tags, ","), "-ldflags", strings.Join(b.Ldflags, " ")}, b.Flags...)
	cmd := exec.Command("go", append(args, b.Main)...)
	cmd.Env = append(append(os.Environ(), "GOOS=linux", "GOARCH="+arch), b.Env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
