package command

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// completions are the values that the shell proposes for flags, by their names.
var completions = map[string]cobra.CompletionFunc{
	"state":    proposed(string(queue.Pending), string(queue.Delivered), string(queue.Dead)),
	"format":   proposed(exportCloudEvents, exportMeta),
	"login":    proposed(strings.Split(graph.LoginList(), ", ")...),
	"field":    proposed(fieldNames()...),
	"fields":   proposed(fieldNames()...),
	"consumer": consumers,
	"store":    stores,
}

func fieldNames() (names []string) {
	for _, f := range event.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// proposed proposes values, of which there may be several with commas in between.
func proposed(values ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) (all []string, _ cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		for _, value := range values {
			all = append(all, before+value)
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// consumers proposes those of the running Caddy.
func consumers(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	for _, store := range askStores(cmd) {
		for _, c := range store.Consumers {
			names = append(names, c.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func stores(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	for _, store := range askStores(cmd) {
		names = append(names, store.Store)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// askStores asks the Caddy that the flags name. If it does not answer, nothing is known.
func askStores(cmd *cobra.Command) (found []admin.Status) {
	given := func(name string) string {
		if f := cmd.Flag(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	a := &adminClient{address: given("address"), config: given("config"), adapter: given("adapter")}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = a.read(ctx, http.MethodGet, "", nil, &found)
	return found
}

// addCompletions prepares the flags of a command, and of those below it, for the shell.
func addCompletions(cmd *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			if values := completions[f.Name]; values != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // unless the command has its own
			}
			plainUsage(f)
		})
	}
	for _, child := range cmd.Commands() {
		addCompletions(child)
	}
}

// plainUsage takes the backticks around the name of a flag's value out of its usage: the
// shell would show them. Help texts get the name from the type of the value.
func plainUsage(f *pflag.Flag) {
	if !strings.Contains(f.Usage, "`") {
		return
	}
	name, usage := pflag.UnquoteUsage(f)
	f.Value, f.Usage = namedValue{f.Value, name}, usage
	if f.DefValue == "[]" || f.DefValue == "0s" { // help texts no longer know that these are none
		f.DefValue = ""
	}
}

// namedValue is the value of a flag, with another name in help texts.
type namedValue struct {
	pflag.Value
	name string
}

func (v namedValue) Type() string { return v.name }
