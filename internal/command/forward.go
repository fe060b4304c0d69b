package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// forwardTimeout is how long an attempt of a queue may take by default, too.
const forwardTimeout = 30 * time.Second

// stored asks for an event with its body, whichever consumers have it. The store may be empty
// if there is one only, or --store chooses it.
func (a *adminClient) stored(ctx context.Context, store string, id uint64) (*admin.Event, error) {
	var found []*admin.Event
	query := url.Values{"before": {strconv.FormatUint(id+1, 10)}, "limit": {"1"}, "bodies": {"true"}}
	if store != "" {
		query.Set("store", store)
	}
	err := a.read(ctx, http.MethodGet, "/events", query, &found)
	if err == nil && (len(found) == 0 || found[0].ID != id) {
		err = refused(rejection{errors.New("the store has no such event")})
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// sendable is stored for an event that is to be sent, which must still have its body.
func (a *adminClient) sendable(ctx context.Context, store string, id uint64) (*admin.Event, error) {
	e, err := a.stored(ctx, store, id)
	switch {
	case err != nil:
		return nil, err
	case !e.Erased.IsZero():
		return nil, refused(rejection{fmt.Errorf("event %d was erased at %s: there is nothing to send", id, e.Erased.UTC().Format(time.RFC3339))})
	case len(e.Bytes()) == 0:
		return nil, refused(rejection{fmt.Errorf("event %d has no body any more: there is nothing to send", id)})
	}
	return e, nil
}

// forward sends a copy of a stored event as the queue sends the event itself, signed with
// the secret of the client. The queue knows nothing of it.
func forward(ctx context.Context, to *simulate.Client, e *admin.Event) simulate.Outcome {
	r, err := queue.NewRequest(ctx, &queue.Event{Consumer: e.Consumer, Record: queue.Record{
		Identity: e.Identity, URL: to.URL, Body: e.Bytes(),
	}})
	if err != nil {
		return simulate.Outcome{Err: err}
	}
	_, signature := simulate.Signatures(to.Secret, e.Bytes())
	r.Header.Set(meta.HeaderSignature, signature)
	r.Header.Set("User-Agent", "") // not Go's
	var request bytes.Buffer
	if err := r.Write(&request); err != nil {
		return simulate.Outcome{Err: err}
	}
	return to.Send(ctx, request.Bytes())
}
