//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"syscall"
)

func runAs(cmd *exec.Cmd, uid, gid uint32) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
}

// quit ends a server at once: its children end with it.
func quit(p *os.Process) { _ = p.Signal(syscall.SIGQUIT) }
