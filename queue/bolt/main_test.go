package bolt

import (
	"flag"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// Fewer runs than usual, but longer ones: it takes some time until something
	// was accepted, leased, settled and requeued.
	for name, value := range map[string]string{"rapid.checks": "8", "rapid.steps": "100"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
