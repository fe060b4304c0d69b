package option_test

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-instagram/webhooks/internal/option"
)

// A module with three options, and what becomes of correct and wrong ones.
func ExampleTable() {
	for _, block := range []string{
		"timeout 10s\n retry {\n max 2\n }",
		"timeout 10s\n timeout 20s",
		"timeout soon",
		"retry {\n max\n }",
		"timout 10s",
	} {
		var module struct {
			timeout caddy.Duration
			retries int
			strict  bool
		}
		table := option.NewTable("my_directive",
			option.Duration("timeout", "30s", &module.timeout),
			option.Block("retry",
				option.Number("max", "3", &module.retries),
				option.Flag("strict", &module.strict),
			),
		)
		d := caddyfile.NewTestDispenser("my_directive {\n" + block + "\n}")
		d.Next() // to the name of the directive
		if err := table.ParseBlock(d); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(time.Duration(module.timeout), module.retries, module.strict)
	}
	// Output:
	// 10s 2 false
	// timeout is given twice, at Testfile:3
	// timeout "soon" is not a duration such as 30s, at Testfile:2
	// retry max takes one argument: a number above 0, such as 3, at Testfile:3
	// unknown option "timout" of my_directive: the options are timeout and retry, at Testfile:2
}
