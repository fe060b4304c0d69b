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
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		maxChanges = 30 // the buffer is written often, and not always
	}
	os.Exit(m.Run())
}
