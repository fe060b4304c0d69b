package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the format
)

// pack makes the packages of all formats.
func (c *config) pack(out, program, version, arch string) error {
	p := c.NFPMs[0]
	p.nfpm.Contents = append(p.nfpm.Contents, &files.Content{
		Source: program, Destination: "/usr/bin/" + filepath.Base(program), FileInfo: &files.ContentFileInfo{Mode: 0o755},
	})
	for _, format := range p.Formats {
		info, err := p.nfpm.Get(format)
		if err != nil {
			return err
		}
		path := filepath.Join(out, fmt.Sprintf("%s_%s_linux_%s.%s", c.ProjectName, version, arch, format))
		if err := writePackage(path, format, nfpm.WithDefaults(info)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Println(path)
	}
	return nil
}

func writePackage(path, format string, info *nfpm.Info) error {
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(packager.Package(info, f), f.Close())
}
