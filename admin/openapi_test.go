package admin_test

import (
	"cmp"
	"maps"
	"net/http/httptest"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/account"
	"github.com/caddy-instagram/webhooks/internal/check"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// openAPI is the document of the admin API, as far as it is held against the code.
type openAPI struct {
	Paths      map[string]map[string]struct{ Parameters []reference }
	Components struct {
		Parameters map[string]struct{ Name, In string }
		Schemas    map[string]documented
	}
}

type reference struct {
	To string `yaml:"$ref"`
}

func (r reference) name() string { return path.Base(r.To) }

// documented is the schema of an object.
type documented struct {
	AllOf      []reference `yaml:"allOf"`
	Required   []string
	Properties map[string]any
}

func readOpenAPI(t *testing.T) (d openAPI) {
	t.Helper()
	text, err := os.ReadFile("../docs/openapi.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAPIHasAllEndpoints asks every route for its methods and parameters.
func TestOpenAPIHasAllEndpoints(t *testing.T) {
	t.Parallel()
	document := readOpenAPI(t)
	api := &admin.API{Stores: func() []admin.Store { return nil }}
	for _, route := range api.Routes() {
		ask := func(method, query string) (*httptest.ResponseRecorder, string) {
			w := httptest.NewRecorder()
			err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, "/"+query, nil))
			if err == nil {
				t.Fatalf("%s %s: no error", method, route.Pattern)
			}
			return w, err.Error()
		}
		w, _ := ask("BREW", "")
		var methods []string
		for method := range strings.SplitSeq(w.Header().Get("Allow"), ", ") {
			methods = append(methods, strings.ToLower(method))
			_, text := ask(method, "?nothing=1")
			_, known, _ := strings.Cut(text, "there are: ")
			want := slices.Sorted(strings.SplitSeq(known, ", "))
			for _, part := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(route.Pattern, -1) {
				want = append(want, "path: "+part[1])
			}
			got := document.parameters(t, route.Pattern, strings.ToLower(method))
			if !slices.Equal(got, want) {
				t.Errorf("%s %s has the parameters %q, and in the document %q", method, route.Pattern, want, got)
			}
		}
		slices.Sort(methods)
		if got := slices.Sorted(maps.Keys(document.Paths[route.Pattern])); !slices.Equal(got, methods) {
			t.Errorf("%s has the methods %q, and in the document %q", route.Pattern, methods, got)
		}
		delete(document.Paths, route.Pattern)
	}
	for path := range document.Paths {
		t.Errorf("there is no %s", path)
	}
}

// parameters returns the sorted parameters of an endpoint, those of the path last. Headers
// are left out.
func (d *openAPI) parameters(t *testing.T, path, method string) (query []string) {
	t.Helper()
	var inPath []string
	for _, ref := range d.Paths[path][method].Parameters {
		p, found := d.Components.Parameters[ref.name()]
		switch {
		case !found:
			t.Errorf("%s %s refers to %s", method, path, ref.To)
		case p.In == "path":
			inPath = append(inPath, "path: "+p.Name)
		case p.In == "query":
			query = append(query, p.Name)
		}
	}
	slices.Sort(query)
	return append(query, inPath...)
}

// TestOpenAPIHasAllMembers holds the schemas against the types.
func TestOpenAPIHasAllMembers(t *testing.T) {
	t.Parallel()
	document := readOpenAPI(t)
	schemas := document.Components.Schemas
	for name, of := range map[string]reflect.Type{
		"Overview": reflect.TypeFor[admin.Overview](), "Status": reflect.TypeFor[admin.Status](), "Consumer": reflect.TypeFor[admin.Consumer](),
		"Gateway": reflect.TypeFor[queue.Gateway](), "LastError": reflect.TypeFor[live.LastError](), "Minutes": reflect.TypeFor[live.Counts](),
		"ConsumerMinutes": reflect.TypeFor[live.ConsumerCounts](), "LastEvent": reflect.TypeFor[live.Account](),
		"AppSecret": reflect.TypeFor[live.AppSecret](), "Expiry": reflect.TypeFor[admin.Expiry](), "Refusal": reflect.TypeFor[admin.Refusal](),
		"Event": reflect.TypeFor[admin.Event](), "ListedEvent": reflect.TypeFor[admin.Listed](), "Attempt": reflect.TypeFor[admin.Attempt](),
		"Found": reflect.TypeFor[admin.Found](), "Body": reflect.TypeFor[admin.Body](), "Detail": reflect.TypeFor[admin.Detail](),
		"Causes": reflect.TypeFor[admin.Causes](), "Cause": reflect.TypeFor[admin.Cause](), "SiteReport": reflect.TypeFor[admin.SiteReport](),
		"Report": reflect.TypeFor[check.Report](), "Finding": reflect.TypeFor[check.Finding](),
		"AccountStatus": reflect.TypeFor[admin.AccountStatus](), "TokenStatus": reflect.TypeFor[account.TokenStatus](),
		"Retried": reflect.TypeFor[admin.Retried](), "Discarded": reflect.TypeFor[admin.Discarded](), "Forgotten": reflect.TypeFor[admin.Forgotten](),
		"Paused": reflect.TypeFor[admin.Paused](), "Dropped": reflect.TypeFor[admin.Dropped](), "Checked": reflect.TypeFor[admin.Checked](),
		"BackedUp": reflect.TypeFor[admin.BackedUp](), "Compacted": reflect.TypeFor[admin.Compacted](), "LiveEvent": reflect.TypeFor[live.Event](),
	} {
		s, found := schemas[name]
		if !found {
			t.Errorf("there is no schema %s", name)
		}
		delete(schemas, name)
		required, members := s.Required, slices.Collect(maps.Keys(s.Properties))
		for _, ref := range s.AllOf {
			base := document.Components.Schemas[ref.name()]
			required = append(required, base.Required...)
			members = slices.AppendSeq(members, maps.Keys(base.Properties))
		}
		all, always := membersOf(of, false)
		for what, lists := range map[string][2][]string{"has": {members, all}, "requires": {required, always}} {
			slices.Sort(lists[0])
			slices.Sort(lists[1])
			if !slices.Equal(lists[0], slices.Compact(lists[1])) {
				t.Errorf("the schema %s %s\n%q, the type\n%q", name, what, lists[0], lists[1])
			}
		}
	}
	for _, base := range []string{"CountFields", "EventFields", "Error"} { // of several, and Caddy's own
		delete(schemas, base)
	}
	for name := range schemas {
		t.Errorf("nothing is a %s", name)
	}
}

// membersOf returns the names in JSON of a type's fields, and those that are always there.
func membersOf(of reflect.Type, optional bool) (all, always []string) {
	for _, f := range reflect.VisibleFields(of) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if len(f.Index) > 1 || name == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && name == "" {
			pointer := f.Type.Kind() == reflect.Pointer
			in := f.Type
			if pointer {
				in = in.Elem()
			}
			// A Status has no counts if its store cannot tell; a Listed always has an Event.
			inner, sure := membersOf(in, optional || pointer && in == reflect.TypeFor[admin.Counts]())
			all, always = append(all, inner...), append(always, sure...)
			continue
		}
		name = cmp.Or(name, f.Name)
		all = append(all, name)
		if !optional && !strings.Contains(options, "omit") {
			always = append(always, name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all))), always
}
