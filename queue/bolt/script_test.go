package bolt

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

// scriptVariable names the directory of a script that is run in a process of its
// own, where faults are injected.
const scriptVariable = "QUEUE_SCRIPT"

// givesUpVariable is set when the script ends after the first failure.
const givesUpVariable = "QUEUE_SCRIPT_GIVES_UP"

func newScript(dir string) storetest.Script {
	return storetest.Script{
		Open:   func() (queue.Store, error) { return open(filepath.Join(dir, "queue.db")) },
		Dir:    dir,
		GiveUp: os.Getenv(givesUpVariable) != "",
		Pause:  pause,
	}
}

// TestScript follows the script. When nothing fails this shows that the script is
// right. In a process of its own some system calls fail.
func TestScript(t *testing.T) {
	dir := os.Getenv(scriptVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	newScript(dir).Follow(t)
}
