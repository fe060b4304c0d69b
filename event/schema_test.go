package event_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// The schemas of the documentation.
const (
	schemaEvent     = "urn:caddy-instagram:schema:event"
	schemaInstagram = "urn:caddy-instagram:schema:instagram"
)

// TestSchemaOfEvents holds the schema of events against every shape of delivery, and bodies
// that are put together at random.
func TestSchemaOfEvents(t *testing.T) {
	t.Parallel()
	schema, body := compiled(t, schemaEvent), compiled(t, schemaEvent+"#delivery")
	check := func(delivery []byte) {
		t.Helper()
		for _, e := range event.Split(delivery) {
			line := e.AppendCloudEvent(nil)
			if err := validate(t, schema, line); err != nil {
				t.Fatalf("%s\n%v", line, err)
			}
			if !json.Valid(e.Envelope()) || e.Field == event.Unparsed {
				continue
			}
			if err := validate(t, body, e.Envelope()); err != nil {
				t.Fatalf("%s\n%v", e.Envelope(), err)
			}
		}
	}
	for _, delivery := range deliveries(t) {
		check(delivery)
	}
	for seed := range uint64(1000) {
		g := shapes{rand.New(rand.NewPCG(seed, 3))}
		check([]byte(g.delivery()))
	}
}

// TestSchemaOfInstagram holds the schema of what Meta sends for Instagram against the
// samples of that, of each field.
func TestSchemaOfInstagram(t *testing.T) {
	t.Parallel()
	schema := compiled(t, schemaInstagram)
	// These are there to be wrong, or old.
	odd := []string{"changes-number-ids", "missing-ids", "unparsed", "messaging-broken-text", "escaped-names"}
	var checked int
	for name, delivery := range deliveries(t) {
		isOdd := false
		for _, part := range odd {
			isOdd = isOdd || strings.Contains(name, part)
		}
		for _, e := range event.Split(delivery) {
			if isOdd || e.Object != "instagram" || e.Field == event.Unparsed || e.Test {
				continue
			}
			checked++
			if err := validate(t, schema, e.AppendCloudEvent(nil)); err != nil {
				t.Errorf("%s: %s\n%v", name, e.AppendCloudEvent(nil), err)
			}
		}
	}
	if checked < 150 {
		t.Errorf("only %d events", checked)
	}
}

// TestSchemasRefuseWhatIsBroken spoils an event in one place at a time.
func TestSchemasRefuseWhatIsBroken(t *testing.T) {
	t.Parallel()
	const message = `{"specversion":"1.0","id":"instagram/17/messages/m","source":"/instagram/17","type":"com.instagram.messages",` +
		`"subject":"m","time":"2026-06-10T12:03:34.5Z","datacontenttype":"application/json","data":{"object":"instagram",` +
		`"entry":[{"id":"17","time":1781093014000,"messaging":[{"sender":{"id":"6"},"recipient":{"id":"17"},"timestamp":1781093014000,"message":{"mid":"m","text":"Hi"}}]}]}}`
	for _, name := range []string{schemaEvent, schemaInstagram} {
		if err := validate(t, compiled(t, name), []byte(message)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, changes := range map[string][][2]string{
		schemaEvent: {
			{`"specversion":"1.0",`, ``}, {`"1.0"`, `"0.3"`}, {`"1.0"`, `1`},
			{`"id":"instagram/17/messages/m",`, ``}, {`instagram/17/messages/m`, ``}, {`instagram/17/messages/m`, `a b`},
			{`instagram/17/messages/m`, strings.Repeat("m", 2000)},
			{`"/instagram/17"`, `"https://instagram.com/17"`}, {`com.instagram.messages`, `messages`},
			{`"subject":"m"`, `"subject":""`}, {`"subject":"m"`, `"subject":7`},
			{`12:03:34.5Z`, `25:03:34Z`}, {`12:03:34.5Z`, `12:03:34+02:00`},
			{`"application/json"`, `"text/plain"`}, {`"application/json"`, `"application/octet-stream"`},
			{`"data":{`, `"data_base64":"e30=","data":{`}, {`"data":{`, `"body":{`}, {`"data":{`, `"Data":{`},
			{`"entry":[`, `"entries":[`}, {`"entry":[`, `"entry":[{"id":"18","messaging":[1]},`}, {`"entry":[{`, `"entry":{"a":{`},
			{`"messaging":[`, `"messages":[`}, {`"messaging":[`, `"messaging":[1,`},
		},
		schemaInstagram: {
			{`"specversion":"1.0",`, ``}, // all of the other schema
			{`"object":"instagram"`, `"object":"page"`}, {`"id":"17",`, ``}, {`"id":"17",`, `"id":17,`},
			{`"time":1781093014000,`, `"time":"1781093014000",`}, {`"timestamp":1781093014000,`, ``},
			{`"sender":{"id":"6"}`, `"sender":{}`}, {`"sender":{"id":"6"}`, `"sender":"6"`},
			{`{"mid":"m",`, `{`}, {`"text":"Hi"`, `"text":["Hi"]`},
		},
	} {
		schema := compiled(t, name)
		for _, change := range changes {
			broken := strings.Replace(message, change[0], change[1], 1)
			if change[0] == `"entry":[{` {
				broken = strings.Replace(broken, `]}]}}`, `]}}}}`, 1)
			}
			if !json.Valid([]byte(broken)) || broken == message {
				t.Fatalf("%q for %q makes %s", change[1], change[0], broken)
			}
			if validate(t, schema, []byte(broken)) == nil {
				t.Errorf("%s takes %q in place of %q", name, change[1], change[0])
			}
		}
	}
}

// deliveries returns those of testdata, and some of each field, by name.
func deliveries(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"unparsed nothing": nil, "unparsed bytes": []byte("[\"\xff\"]"), "unparsed number": []byte("7")}
	files, err := filepath.Glob("testdata/deliveries/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no deliveries: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = body
	}
	for i, field := range event.Fields() {
		g := sample.New(uint64(i))
		all["sample of "+field.Name] = g.Delivery(sample.StyleOf(field.Name), 40, field.Name)
		all["Test button for "+field.Name] = g.TestButton(field.Name)
	}
	return all
}

// compiled returns a schema of the documentation.
func compiled(t *testing.T, url string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for id, file := range map[string]string{schemaEvent: "event", schemaInstagram: "instagram"} {
		text, err := os.ReadFile("../docs/schema/" + file + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(id, parsed(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	return schema.Validate(parsed(t, text))
}

func parsed(t *testing.T, text []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}
