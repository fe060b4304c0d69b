package bolt

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestRecordsWithoutAnOriginCanBeRead has a record as versions wrote it that did
// not keep who delivered: an update must not lose what waits.
func TestRecordsWithoutAnOriginCanBeRead(t *testing.T) {
	t.Parallel()
	want := queue.Event{
		Record: queue.Record{
			Identity: "instagram/17/comments/1", NotUnique: true, Order: "17/1", Account: "17", Field: "comments",
			URL: "https://hooks.example.com/webhooks?a=b", Secret: "instagram", Signature: [32]byte{1, 2, 3},
			Body: []byte("\x05the body"),
		},
		Size: 9,
	}
	var head []byte
	for _, text := range []string{want.Identity, want.Order, want.Account, want.Field, want.URL, want.Secret} {
		head = append(binary.AppendUvarint(head, uint64(len(text))), text...)
	}
	old := append([]byte{1}, make([]byte, 8)...)
	old = append(append(old, 1), want.Signature[:]...)
	old = append(binary.BigEndian.AppendUint32(old, uint32(len(head))), head...)
	old = append(old, want.Body...)

	var got queue.Event
	if !decodeRecord(old, &got, true) {
		t.Fatal("it is damaged")
	}
	want.Accepted = got.Accepted // not of interest
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	want.Origin = "10.0.0.5:4711?X-Forwarded-Proto=https&trusted=1"
	encoded := appendRecord(nil, &want.Record, 0)
	if len(encoded) > recordSize(&want.Record) {
		t.Errorf("takes %d bytes, at most %d are foreseen", len(encoded), recordSize(&want.Record))
	}
	if !bytes.HasSuffix(encoded, want.Body) || !decodeRecord(encoded, &got, true) || got.Origin != want.Origin {
		t.Errorf("the origin became %q", got.Origin)
	}
}
