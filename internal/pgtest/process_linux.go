package pgtest

import (
	"os/exec"
	"syscall"
)

// runAs has a program be that of another user, and the first process of a namespace: the
// kernel ends all of its processes with the first one, as it does when the power fails, and
// removes the memory that they shared.
func runAs(cmd *exec.Cmd, uid, gid uint32) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uid, Gid: gid},
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
	}
}

// endWithThread has a program be killed when the thread ends that starts it.
func endWithThread(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// quit ends a server at once.
func quit(p *exec.Cmd) {
	if p.SysProcAttr.Credential != nil {
		_ = p.Process.Kill()
	} else { // its children end with it
		_ = p.Process.Signal(syscall.SIGQUIT)
	}
}
