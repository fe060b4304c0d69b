package command

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

func queueShowCommand(a *adminClient) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "Show an event with its body",
		Long: `
Shows an event with its body, which is what your application gets.
` + queueExitCodes,
		Example: `  $ caddy instagram queue show 1207
  $ caddy instagram queue show 1207 --json
  $ caddy instagram queue show 1207 --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`,
		RunE: a.run(1, func(ctx context.Context, _ *console, args []string) (result, error) {
			ids, err := eventIDs(args)
			if err != nil {
				return nil, err
			}
			e := new(queueEvent)
			return ifDone(e, a.read(ctx, http.MethodGet, eventPath(ids[0]), nil, &e.Event))
		}),
	}
	a.registerFile(cmd)
	return cmd
}

// queueEvent is the result of show.
type queueEvent struct {
	outcome
	*admin.Event
}

func (e *queueEvent) text(c *console) {
	now := time.Now()
	rows := [][]string{}
	for _, row := range [][]string{
		{"id", strconv.FormatUint(e.ID, 10)},
		{"state", stateOf(e.Event)},
		{"identity", e.Identity},
		{"field", e.Field},
		{"account", e.Account},
		{"conversation", e.Order},
		{"URL", e.URL},
		{"app secret", e.AppSecret},
		{"size", sizeText(int64(e.Size))},
		{"accepted", ago(e.Accepted, now)},
		{"requeued", ago(e.Requeued, now)},
		{"due", ago(e.Due, now)},
		{"settled", ago(e.Settled, now)},
		{"attempts", strconv.Itoa(e.Attempts)},
		{"last error", e.LastError},
	} {
		if row[1] != "" && row[1] != "-" {
			rows = append(rows, row)
		}
	}
	c.table(rows...)
	text := base64.StdEncoding.EncodeToString(e.BodyBase64)
	if e.Body != nil {
		var indented bytes.Buffer
		_ = json.Indent(&indented, e.Body, "", "  ") // it was decoded
		text = indented.String()
	}
	c.printf("\n")
	for line := range strings.Lines(text) {
		c.printf("%s\n", strings.TrimRight(line, "\r\n"))
	}
}

func stateOf(e *admin.Event) string {
	if e.InFlight {
		return "in flight"
	}
	return string(e.State)
}

// sizeText returns bytes as people read them.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
