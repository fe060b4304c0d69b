package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	one := []Store{newStore(t, "one")}
	two := []Store{newStore(t, "one"), newStore(t, "two")}
	tests := []struct {
		stores         []Store
		method, target string
		status         int
		says           string
	}{
		{nil, "GET", "/events", 404, "no queue is open"},
		{nil, "POST", "/retry?state=dead", 404, "no queue is open"},
		{two, "GET", "/events", 400, "one, two"},
		{two, "DELETE", "/events/1", 400, "one, two"},
		{two, "GET", "/events?store=three", 404, "one, two"},
		{two, "GET", "?store=three", 404, "one, two"},
		{one, "GET", "/events?stat=dead", 400, `no parameter \"stat\"`},
		{one, "GET", "?state=dead", 400, `no parameter \"state\"`},
		{one, "POST", "/retry?state=dead&before=3", 400, `no parameter \"before\"`},
		{one, "POST", "/events/1/retry?rate=3", 400, `no parameter \"rate\"`},
		{one, "GET", "/events?state=lost", 400, "pending, delivered, dead and erased"},
		{one, "GET", "/events?state=dead&state=pending", 400, "twice"},
		{one, "GET", "/events?field=", 400, "field is empty"},
		{one, "GET", "/events?field=%zz", 400, "cannot be read"},
		{one, "GET", "/events?since=yesterday", 400, "24h"},
		{one, "GET", "/events?since=-3h", 400, "24h"},
		{one, "GET", "/events?before=0", 400, "before"},
		{one, "GET", "/events?before=x", 400, "before"},
		{one, "GET", "/events?after=0", 400, "after"},
		{one, "GET", "/events?order=random", 400, "neither newest nor oldest"},
		{one, "POST", "/retry?state=dead&order=oldest", 400, `no parameter \"order\"`},
		{one, "POST", "/discard", 400, "state is missing"},
		{one, "POST", "/discard?state=dead&rate=3", 400, `no parameter \"rate\"`},
		{one, "POST", "/discard?state=dead&limit=1001", 400, "1 to 1000"},
		{one, "POST", "/discard?state=dead&dry_run=1", 400, "true or false"},
		{one, "GET", "/discard?state=dead", 405, "POST"},
		{nil, "POST", "/discard?state=dead", 404, "no queue is open"},
		{one, "GET", "/events?limit=0", 400, "1 to 1000"},
		{one, "GET", "/events?limit=1001", 400, "1 to 1000"},
		{one, "GET", "/events?limit=99999999999999999999", 400, "1 to 1000"},
		{one, "GET", "/events?bodies=yes", 400, "true or false"},
		{one, "GET", "/events/x", 400, "not the number"},
		{one, "GET", "/events/0", 400, "not the number"},
		{one, "GET", "/events/-1", 400, "not the number"},
		{one, "GET", "/events/1", 404, "no such event"},
		{one, "POST", "/retry", 400, "state is missing"},
		{one, "POST", "/retry?state=dead&rate=0", 400, "rate"},
		{one, "POST", "/retry?state=dead&rate=-1", 400, "rate"},
		{one, "POST", "/retry?state=dead&rate=NaN", 400, "rate"},
		{one, "POST", "/retry?state=dead&rate=1e9", 400, "rate"},
		{one, "POST", "/retry?state=dead&rate=1e-300", 400, "rate"},
		{one, "POST", "/retry?state=dead&dry_run=1", 400, "true or false"},
		{one, "POST", "", 405, "GET"},
		{one, "GET", "/retry?state=dead", 405, "POST"},
		{one, "PUT", "/events/1", 405, "GET or DELETE"},
		{one, "GET", "?consumer=crm", 404, "no such consumer; there are: default"},
		{one, "GET", "/events?consumer=crm", 404, "there are: default"},
		{one, "GET", "/events/1?consumer=crm", 404, "there are: default"},
		{one, "DELETE", "/events/1?consumer=crm", 404, "there are: default"},
		{one, "POST", "/events/1/retry?consumer=crm", 404, "there are: default"},
		{one, "POST", "/retry?state=dead&consumer=crm", 404, "there are: default"},
		{one, "POST", "/discard?state=dead&consumer=crm", 404, "there are: default"},
		{one, "POST", "/pause?consumer=crm", 404, "there are: default"},
		{one, "POST", "/resume?consumer=crm", 404, "there are: default"},
		{one, "POST", "/drop?consumer=crm", 404, "there are: default"},
		{one, "POST", "/pause", 400, "consumer is missing"},
		{one, "POST", "/drop", 400, "consumer is missing"},
		{one, "POST", "/drop?consumer=", 400, "consumer is empty"},
		{one, "GET", "/pause?consumer=default", 405, "POST"},
		{one, "GET", "/check", 405, "POST"},
		{one, "GET", "/compact", 405, "POST"},
	}
	for _, test := range tests {
		w := serve(test.stores, test.method, "/instagram/queue"+test.target)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", test.method, test.target, w.Code, w.Body, test.status, test.says)
		}
		if allow := w.Header().Get("Allow"); (allow != "") != (test.status == 405) {
			t.Errorf("%s %s: %d with Allow %q", test.method, test.target, w.Code, allow)
		}
	}
}

// In a running Caddy the endpoints work on the stores that are open just then.
func TestInCaddy(t *testing.T) {
	dir, err := os.MkdirTemp("", "admin") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "queue.db")
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	ask := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1/instagram/queue"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	run := func(apps string) {
		t.Helper()
		config := fmt.Sprintf(`{"admin":{"listen":"unix/%s","config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":{%s}}`, socket, apps)
		var c caddy.Config
		if err := json.Unmarshal([]byte(config), &c); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Run(&c); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}()

	run("")
	if status, text := ask("GET", "/events"); status != http.StatusNotFound || !strings.Contains(text, `{"error":"no queue is open`) {
		t.Errorf("without a queue: %d %s", status, text)
	}
	const routes = `"routes":[{"handle":[{"handler":"static_response"}]}]`
	runQueue := func(consumers string) {
		t.Helper()
		run(fmt.Sprintf(`"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"instagram_queue",
			"store":{"module":"sqlite","path":%q},%s}]}]}}}`, file, consumers))
	}
	runQueue(routes)
	if status, text := ask("GET", "/events"); status != http.StatusOK || text != "[]\n" {
		t.Errorf("with a queue: %d %s", status, text)
	}
	runQueue(`"consumers":[{"name":"crm",` + routes + `}]`)
	for _, request := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "", 200, `"consumers":[{"consumer":"crm","paused":false,"in_config":true,"pending":0,`},
		{"POST", "/pause?consumer=crm", 200, `{"consumer":"crm","paused":true}`},
		{"GET", "", 200, `"paused":true`},
		{"POST", "/resume?consumer=crm", 200, `{"consumer":"crm","paused":false}`},
		{"POST", "/drop?consumer=crm", 409, "in the config"},
		{"POST", "/drop?consumer=default", 200, `{"consumer":"default","pending":0,"dead":0,"delivered":0}`},
		{"POST", "/drop?consumer=default", 404, "there are: crm"},
	} {
		if status, text := ask(request.method, request.path); status != request.status || !strings.Contains(text, request.says) {
			t.Errorf("%s %s: %d %s, want %d and %s", request.method, request.path, status, text, request.status, request.says)
		}
	}
	run("")
	if status, text := ask("GET", "/events"); status != http.StatusNotFound {
		t.Errorf("after its end: %d %s", status, text)
	}
}
