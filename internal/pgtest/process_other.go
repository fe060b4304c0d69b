//go:build !unix

package pgtest

import (
	"os"
	"os/exec"
)

func runAs(*exec.Cmd, uint32, uint32) {}

func quit(p *os.Process) { _ = p.Kill() }
