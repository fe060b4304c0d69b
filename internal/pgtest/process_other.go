//go:build !linux

package pgtest

import "os/exec"

func runAs(*exec.Cmd, uint32, uint32) {}

func endWithThread(*exec.Cmd) {}

func quit(p *exec.Cmd) { _ = p.Process.Kill() }
