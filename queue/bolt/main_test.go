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
	if flag.Lookup("test.bench").Value.String() == "" && os.Getenv(productionVariable) == "" {
		// There are many checkpoints and flushes of the buffer, but not always.
		maxOpenChanges = 20
		maxChanges = 30
		worthLookahead = 2
		maxRun = 16
	}
	os.Exit(m.Run())
}
