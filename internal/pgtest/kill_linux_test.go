package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestServersEndWithTheTest kills a process that has started a server.
func TestServersEndWithTheTest(t *testing.T) {
	if os.Getenv("PGTEST_KILLED") != "" {
		s, err := Start("fsync=off")
		if err != nil {
			fmt.Println(0, err)
			return
		}
		fmt.Println(s.Pid(), s.Dir)
		select {}
	}
	s, err := New()
	Need(t, err)
	s.Stop()
	test := exec.Command(os.Args[0], "-test.run=^TestServersEndWithTheTest$")
	test.Env = append(os.Environ(), "PGTEST_KILLED=true")
	output, err := test.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	_, err = fmt.Fscan(bufio.NewReader(output), &pid, &dir)
	if killed := test.Process.Kill(); err != nil || killed != nil || pid == 0 {
		t.Fatal(pid, dir, err, killed)
	}
	_ = test.Wait()
	defer os.RemoveAll(dir)
	for deadline := time.Now().Add(time.Minute); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server runs on")
		}
	}
}
