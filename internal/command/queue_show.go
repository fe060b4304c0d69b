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

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

func queueShowCommand(a *adminClient) *cobra.Command {
	return a.withConsumer(a.withFile(a.command("show <id>", "Show an event with its body", `
Shows an event with its body, which is what your application gets, and its last
attempts with what your application answered. If several consumers have the event,
--consumer says for which. With --json, there is more of the answers.
`+queueExitCodes, `  $ caddy instagram queue show 1207
  $ caddy instagram queue show 1207 --consumer crm --json
  $ caddy instagram queue show 1207 --file /var/lib/caddy/.local/share/caddy/instagram/queue.db`, 1, a.show)))
}

func (a *adminClient) show(ctx context.Context, _ *console, args []string) (result, error) {
	ids, err := eventIDs(args)
	if err != nil {
		return nil, err
	}
	e := new(queueEvent)
	return ifDone(e, a.read(ctx, http.MethodGet, eventPath(ids[0]), nil, &e.Event))
}

// queueEvent is the result of show.
type queueEvent struct {
	outcome
	*admin.Event
}

func (e *queueEvent) text(c *console) {
	now := time.Now()
	consumer := consumerOf(e.Event)
	if consumer == queue.DefaultConsumer {
		consumer = ""
	}
	c.details([][]string{
		{"id", strconv.FormatUint(e.ID, 10)},
		{"consumer", consumer},
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
		{"erased", ago(e.Erased, now)},
		{"because", e.ErasedBecause},
	})
	e.printHistory(c, now)
	if !e.Erased.IsZero() {
		c.printf("\nThe body was erased: nobody gets it any more.\n")
		return
	}
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

// maxAnswer is how much of an answer is shown, in bytes.
const maxAnswer = 256

// printHistory prints the last attempts. An error that quotes the status and the answer
// has nothing to add to these.
func (e *queueEvent) printHistory(c *console, now time.Time) {
	rows := [][]string{{"ATTEMPT", "TOOK", "STATUS", "ERROR", "ANSWER"}}
	for i := range e.History {
		a := &e.History[i]
		status := "-"
		if a.Status != 0 {
			status = strconv.Itoa(a.Status)
		}
		took := time.Duration(a.Took * float64(time.Second)).Round(time.Millisecond)
		why, answer := strings.TrimPrefix(a.Error, status+": "), sanitize.OneLine(string(a.Bytes()))
		if strings.HasPrefix(answer, why) {
			why = ""
		}
		rows = append(rows, []string{c.ago(a.Ended, now), took.String(), status, why, sanitize.Text(answer, maxAnswer)})
	}
	if len(rows) > 1 {
		c.printf("\n")
		c.list(2, rows)
	}
}
