package loadcheck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-instagram/webhooks"
	"github.com/caddy-instagram/webhooks/internal/testpki"
)

const (
	secret  = "0123456789abcdef0123456789abcdef"
	webhook = "instagram_webhook {\nverify_token t0k3n\napp_secret " + secret + "\n}\n"
	queue   = "instagram_queue {\nreverse_proxy localhost:9000\n}\n"
	signed  = "instagram_signed_request deauthorize {\napp_secret " + secret + "\n}\n"
)

// warnings returns what 'caddy validate' warns of in a config: the messages, each
// with the route.
func warnings(t *testing.T, config []byte) (lines []string) {
	t.Helper()
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Fatalf("%v\n%s", err, config)
	}
	log := filepath.Join(t.TempDir(), "log")
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{
		WriterRaw:  caddyconfig.JSON(map[string]string{"output": "file", "filename": log}, nil),
		EncoderRaw: []byte(`{"format":"json"}`),
	}}}}
	if err := caddy.Validate(&cfg); err != nil {
		t.Fatalf("%v\n%s", err, config)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "instagram") {
			lines = append(lines, line)
		}
	}
	return lines
}

func adapt(t *testing.T, caddyfile string) []byte {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	return config
}

// The beginnings of the findings.
const (
	noMatch    = "the matcher instagram never matches here"
	noWebhookQ = "instagram_queue stands where no request was authenticated"
	noWebhookF = "instagram_file stands where no request was authenticated"
	untaken    = "nothing behind instagram_webhook takes deliveries"
	unheard    = "nothing in the block of instagram_queue takes events"
	neverRuns  = "what stands after instagram_queue never runs: "
	noCert     = "client_cert demands a client certificate, but no TLS policy"
	smallBody  = "request_body lets "
	hidden     = "an intercept around instagram_webhook answers failures with success"
	mayHide    = "an intercept around instagram_webhook may answer failures with success"
	masked     = "an intercept before reverse_proxy answers failures with success"
	mayMask    = "an intercept before reverse_proxy may answer failures with success"
	proxied    = "handle_response or replace_status of reverse_proxy answers failures with success"
	mayProxy   = "handle_response or replace_status of reverse_proxy may answer failures with success"
	sharedPath = "instagram_signed_request stands where deliveries of instagram_webhook come"
	untakenS   = "nothing behind instagram_signed_request takes its events"
	failedQ    = "instagram_queue stands in an error route and cannot make a success of a failure"
)

func TestMisplacedDirectivesAreToldAtLoad(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, testpki.PEM(testpki.NewCA(t, "CA")), 0o600); err != nil {
		t.Fatal(err)
	}
	certified := strings.Replace(webhook, "}", fmt.Sprintf("client_cert {\ntrust_pool file %s\n}\n}", filepath.ToSlash(ca)), 1)
	const messages = "@messages instagram {\nfield messages\n}\n"
	for name, tc := range map[string]struct {
		sites string
		want  []string // how the warnings begin, and what the route holds after a |
	}{
		// What is right.
		"in a handle":               {":1 {\nhandle /webhooks {\n" + webhook + queue + "}\nhandle {\nrespond 404\n}\n}", nil},
		"at the top of a site":      {"a.example {\n" + webhook + queue + "}", nil},
		"with matchers":             {"a.example {\n" + strings.Replace(webhook, " {", " /webhooks {", 1) + strings.Replace(queue, " {", " /webhooks {", 1) + "reverse_proxy localhost:9000\n}", nil},
		"taken in a handle later":   {":1 {\n" + webhook + messages + "handle @messages {\nreverse_proxy localhost:1\n}\nhandle {\nreverse_proxy localhost:2\n}\n}", nil},
		"taken after the handle":    {":1 {\nhandle /webhooks {\n" + webhook + "}\nreverse_proxy localhost:9000\n}", nil},
		"matcher in an expression":  {":1 {\n" + webhook + "@m expression instagram({'field': ['messages']})\nhandle @m {\nrespond ok\n}\nrespond 200\n}", nil},
		"expression about the word": {":1 {\n@m expression {path} == 'instagram(x'\nhandle @m {\n" + webhook + "respond ok\n}\n}", nil},
		"in a named route":          {"&(events) {\n" + queue + "}\n:1 {\nhandle /webhooks {\n" + webhook + "invoke events\n}\n}", nil},
		"webhook in a named route":  {"&(gate) {\n" + webhook + "}\n:1 {\nroute {\ninvoke gate\n" + queue + "}\n}", nil},
		"webhook in a route":        {":1 {\nroute {\nroute {\n" + webhook + "}\n" + messages + "handle @messages {\n" + queue + "}\n" + queue + "}\n}", nil},
		"file, then 200":            {":1 {\n" + webhook + "instagram_file events.jsonl\n}", nil},
		"file of what failed":       {":1 {\n" + webhook + "reverse_proxy localhost:9000\nhandle_errors {\ninstagram_file failed.jsonl\n}\n}", nil},
		"aborted":                   {":1 {\n" + webhook + "abort\n}", nil},
		"two sites, one snippet":    {"(hooks) {\nhandle /webhooks {\n" + webhook + queue + "}\n}\na.example {\nimport hooks\n}\nb.example {\nimport hooks\n}", nil},
		"matchers in the queue":     {":1 {\n" + webhook + "instagram_queue {\n" + messages + "handle @messages {\nreverse_proxy localhost:1\n}\nhandle {\nreverse_proxy localhost:2\n}\n}\n}", nil},
		"certificate asked for":     {"a.example {\ntls {\nclient_auth {\nmode request\n}\n}\n" + certified + queue + "}", nil},
		"larger body elsewhere":     {":1 {\nrequest_body /upload {\nmax_size 1KB\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},
		"larger limit":              {":1 {\nrequest_body {\nmax_size 1GB\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},
		"errors styled":             {":1 {\nintercept {\n@e status 4xx 5xx\nhandle_response @e {\nfile_server {\nstatus {http.intercept.status_code}\n}\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},
		"missing pages intercepted": {":1 {\nintercept {\n@e status 404\nhandle_response @e {\nrespond gone 200\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},
		"application intercepted":   {":1 {\nhandle /webhooks {\n" + webhook + "intercept {\n@e status 2xx\nreplace_status @e 200\n}\nreverse_proxy localhost:9000\n}\n}", nil},
		"intercepted elsewhere":     {":1 {\nintercept /shop {\n@e status 5xx\nreplace_status @e 200\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},

		// No webhook before.
		"queue alone":                 {"a.example {\nhandle /webhooks {\n" + queue + "}\n}", []string{noWebhookQ + "|a.example /webhooks"}},
		"file alone":                  {":1 {\ninstagram_file events.jsonl\n}", []string{noWebhookF}},
		"in another handle":           {":1 {\nhandle /webhooks {\n" + webhook + "respond 200\n}\nhandle /events {\n" + queue + "}\n}", []string{noWebhookQ + "|/events"}},
		"on another site":             {"a.example {\n" + webhook + "respond 200\n}\nb.example {\n" + queue + "}", []string{noWebhookQ + "|b.example"}},
		"webhook after it":            {":1 {\nroute {\ninstagram_file events.jsonl\n" + webhook + "respond 200\n}\n}", []string{noWebhookF}},
		"matcher before it":           {":1 {\n" + messages + "rewrite @messages /messages\n" + webhook + queue + "}", []string{noMatch + "|@instagram"}},
		"matcher in another handle":   {":1 {\nhandle /webhooks {\n" + webhook + "respond 200\n}\n" + messages + "handle @messages {\nrespond 200\n}\n}", []string{noMatch}},
		"matcher negated":             {":1 {\n@others not {\ninstagram\n}\nrespond @others 200\n}", []string{noMatch}},
		"expression, no webhook":      {":1 {\n@m expression `instagram({'field': ['messages']})`\nrespond @m 200\n}\nb.example {\n" + webhook + queue + "}", []string{noMatch}},
		"named route, no webhook":     {"&(events) {\n" + queue + "}\n:1 {\nhandle /webhooks {\n" + webhook + "invoke events\n}\nhandle /other {\ninvoke events\n}\n}", []string{noWebhookQ + "|/other"}},
		"in error routes, no webhook": {":1 {\nrespond 200\nhandle_errors {\ninstagram_file failed.jsonl\n}\n}", []string{noWebhookF}},

		// A signed request and deliveries on one path.
		"signed request behind":   {":1 {\nhandle /webhooks {\n" + webhook + signed + queue + "}\n}", []string{sharedPath + "|/webhooks"}},
		"signed request in queue": {":1 {\n" + webhook + "instagram_queue {\n" + signed + "reverse_proxy localhost:1\n}\n}", []string{sharedPath + "|in instagram_queue"}},
		"signed request beside":   {":1 {\nhandle /webhooks {\n" + webhook + queue + "}\nhandle /gone {\n" + signed + queue + "}\n}", nil},
		"both with paths":         {":1 {\n" + strings.Replace(webhook, " {", " /webhooks {", 1) + strings.Replace(signed, "request ", "request /gone ", 1) + queue + "}", nil},

		// Nothing behind.
		"signed request alone":  {"a.example {\nhandle /gone {\n" + signed + "}\n}", []string{untakenS + "|a.example /gone"}},
		"signed request passed": {":1 {\nhandle /gone {\n" + signed + "request_header -Cookie\n}\nhandle {\nrespond 404\n}\n}", []string{untakenS + "|/gone"}},
		"signed request taken":  {":1 {\nhandle /gone {\n" + signed + "respond 200\n}\n}", nil},
		"webhook alone":         {"a.example {\nhandle /webhooks {\n" + webhook + "}\n}", []string{untaken + "|a.example /webhooks"}},
		"only passing handlers": {":1 {\nhandle /webhooks {\n" + webhook + "request_header -Cookie\nencode\n}\nhandle {\nrespond 404\n}\n}", []string{untaken + "|/webhooks"}},
		"after what answers":    {":1 {\nroute {\nreverse_proxy localhost:9000\n" + webhook + "}\n}", []string{untaken}},
		"another site takes":    {"a.example {\n" + webhook + "}\nb.example {\nreverse_proxy localhost:9000\n}", []string{untaken + "|a.example"}},
		"consumer with nothing": {":1 {\n" + webhook + "instagram_queue {\nto crm {\nrequest_header -Cookie\n}\nto bot {\nreverse_proxy localhost:1\n}\n}\n}", []string{"nothing in the block of to crm takes events"}},
		"queue with nothing":    {":1 {\n" + webhook + "instagram_queue {\nrequest_header -Cookie\n}\n}", []string{unheard}},

		// Never run.
		"behind the queue":         {":1 {\n" + webhook + queue + "reverse_proxy localhost:9000\n}", []string{neverRuns + "reverse_proxy"}},
		"behind it in a handle":    {":1 {\nhandle /webhooks {\n" + webhook + queue + "request_header -Cookie\nrespond 200\n}\nhandle {\nrespond 404\n}\n}", []string{neverRuns + "header or request_header, respond, redir or abort|/webhooks"}},
		"behind it, with a path":   {":1 {\nhandle /webhooks {\n" + webhook + queue + "respond /webhooks 200\n}\n}", []string{neverRuns + "respond"}},
		"behind a route with it":   {":1 {\nroute {\nroute {\n" + webhook + queue + "}\nrespond 200\n}\n}", []string{neverRuns + "respond"}},
		"queue only for some":      {":1 {\n" + webhook + messages + strings.Replace(queue, " {", " @messages {", 1) + "reverse_proxy localhost:9000\n}", nil},
		"queue in the last handle": {":1 {\nhandle /a {\nrewrite /b\n}\nhandle {\n" + webhook + queue + "}\nreverse_proxy localhost:9000\n}", nil},

		// Failures that look like success.
		"status replaced":     {":1 {\nintercept {\n@e status 5xx\nreplace_status @e 200\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{hidden + "|/webhooks"}},
		"page of a failure":   {":1 {\nintercept {\n@e status 401 403\nhandle_response @e {\nrespond sorry\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{hidden}},
		"file of a failure":   {":1 {\nintercept {\n@e status 5xx\nhandle_response @e {\nrewrite * /error.html\nfile_server\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{hidden}},
		"redirect of a login": {":1 {\nintercept {\nhandle_response {\nredir * /login\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{hidden}},
		"page of a service":   {":1 {\nintercept {\n@e status 5xx\nhandle_response @e {\nreverse_proxy localhost:1\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{mayHide}},
		"page of PHP":         {":1 {\nintercept {\n@e status 5xx\nhandle_response @e {\nphp_fastcgi localhost:1\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{mayHide}},
		"page in a snippet":   {"&(page) {\nrespond sorry\n}\n:1 {\nintercept {\n@e status 5xx\nhandle_response @e {\ninvoke page\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{hidden}},
		"failure, then page":  {":1 {\nintercept {\n@e status 5xx\nhandle_response @e {\nroute {\nrespond 503\nreverse_proxy localhost:1\n}\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},
		"page of the missing": {":1 {\nintercept {\nhandle_response {\n@m expression {http.intercept.status_code} == 404\nrespond @m gone 200\n}\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", nil},

		// Failures of an application that look like success.
		"application's status":      {":1 {\nhandle /webhooks {\n" + webhook + "intercept {\n@e status 5xx\nreplace_status @e 200\n}\nreverse_proxy localhost:9000\n}\n}", []string{masked + "|/webhooks"}},
		"application's page":        {":1 {\n" + webhook + "intercept {\n@e status 5xx\nhandle_response @e {\nreverse_proxy localhost:1\n}\n}\nreverse_proxy localhost:9000\n}", []string{mayMask}},
		"consumer's status":         {":1 {\n" + webhook + "instagram_queue {\nintercept {\n@e status 4xx 5xx\nreplace_status @e 200\n}\nreverse_proxy localhost:9000\n}\n}", []string{masked + "|in instagram_queue"}},
		"proxy's status":            {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 5xx\nreplace_status @e 200\n}\n}", []string{proxied}},
		"proxy's page":              {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 5xx\nhandle_response @e {\nrespond sorry\n}\n}\n}", []string{proxied}},
		"proxy's page of a service": {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\nhandle_response {\nreverse_proxy localhost:1\n}\n}\n}", []string{mayProxy}},
		"proxy's copy":              {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 5xx\nhandle_response @e {\ncopy_response 200\n}\n}\n}", []string{proxied}},
		"one consumer's status":     {":1 {\n" + webhook + "instagram_queue {\nto crm {\nreverse_proxy localhost:9000\n}\nto bot {\nreverse_proxy localhost:9000 {\n@e status 429\nreplace_status @e 200\n}\n}\n}\n}", []string{proxied + "|in instagram_queue, to bot"}},
		"proxy's status in a queue": {":1 {\n" + webhook + "instagram_queue {\nreverse_proxy localhost:9000 {\n@e status 429\nreplace_status @e 200\n}\n}\n}", []string{proxied + "|in instagram_queue"}},
		"proxy, in a named route":   {"&(app) {\nreverse_proxy localhost:9000 {\nreplace_status 200\n}\n}\n:1 {\nhandle /shop {\ninvoke app\n}\nhandle {\n" + webhook + "invoke app\n}\n}", []string{proxied}},

		// What is right in these places.
		"success changed":         {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 2xx 404\nreplace_status @e 200\n}\n}", nil},
		"failure copied":          {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\nhandle_response {\ncopy_response\n}\n}\n}", nil},
		"failure kept":            {":1 {\n" + webhook + "instagram_queue {\nreverse_proxy localhost:9000 {\n@e status 5xx\nhandle_response @e {\nrespond sorry {rp.status_code}\n}\n}\n}\n}", nil},
		"failure changed":         {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 4xx\nreplace_status @e 503\n}\n}", nil},
		"failure filed":           {":1 {\n" + webhook + "instagram_queue {\nreverse_proxy localhost:9000 {\n@e status 5xx\nhandle_response @e {\ninstagram_file failed.jsonl\n}\n}\n}\n}", nil},
		"file for a POST":         {":1 {\n" + webhook + "reverse_proxy localhost:9000 {\n@e status 5xx\nhandle_response @e {\nrewrite * /error.html\nfile_server {\nstatus 200\n}\n}\n}\n}", nil},
		"forward_auth":            {":1 {\n" + webhook + "forward_auth localhost:1 {\nuri /\n}\n" + queue + "}", nil},
		"intercept before queue":  {":1 {\nroute {\n" + webhook + "intercept {\n@e status 5xx\nreplace_status @e 200\n}\n" + queue + "}\n}", nil},
		"intercept of a shop":     {":1 {\nhandle /webhooks {\n" + webhook + queue + "}\nhandle {\nintercept {\n@e status 5xx\nreplace_status @e 200\n}\nreverse_proxy localhost:2\n}\n}", nil},
		"proxy of a shop":         {":1 {\n" + strings.Replace(webhook, " {", " /webhooks {", 1) + "reverse_proxy /shop* localhost:2 {\n@e status 5xx\nreplace_status @e 200\n}\nreverse_proxy localhost:1\n}", nil},
		"proxy of a shop, by GET": {":1 {\n" + webhook + "@get method GET\nreverse_proxy @get localhost:2 {\nreplace_status 200\n}\nreverse_proxy localhost:1\n}", nil},
		"no webhook at all":       {":1 {\nreverse_proxy localhost:2 {\n@e status 5xx\nreplace_status @e 200\n}\n}\n:2 {\n" + webhook + queue + "}", nil},
		"only an intercept":       {":1 {\n" + webhook + "intercept {\n@e status 2xx\nreplace_status @e 200\n}\n}", []string{untaken}},

		// In error routes.
		"queue of what failed": {":1 {\n" + webhook + "reverse_proxy localhost:9000\nhandle_errors {\n" + queue + "}\n}", []string{failedQ}},
		"proxy of what failed": {":1 {\n" + webhook + "reverse_proxy localhost:9000\nhandle_errors {\nreverse_proxy localhost:1 {\nreplace_status 200\n}\n}\n}", nil},

		// Others.
		"full duplex":                {"{\nservers {\nenable_full_duplex\n}\n}\n:1 {\n" + webhook + queue + "}", []string{"enable_full_duplex has this server take the unread rest of a body"}},
		"full duplex, no webhook":    {"{\nservers {\nenable_full_duplex\n}\n}\n:1 {\nrespond 404\n}", nil},
		"certificate not asked for":  {"a.example {\n" + certified + queue + "}", []string{noCert + "|a.example"}},
		"certificate without TLS":    {"http://a.example {\n" + certified + queue + "}", []string{noCert}},
		"smaller limit":              {":1 {\nrequest_body {\nmax_size 100KB\n}\nhandle /webhooks {\n" + webhook + queue + "}\n}", []string{smallBody + "98 KiB"}},
		"smaller limit, in a handle": {":1 {\nhandle /webhooks {\nrequest_body {\nmax_size 100KB\n}\n" + webhook + queue + "}\n}", []string{smallBody}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			got := warnings(t, adapt(t, tc.sites))
			for _, want := range tc.want {
				text, route, _ := strings.Cut(want, "|")
				if !slices.ContainsFunc(got, func(line string) bool {
					return strings.Contains(line, `"msg":"`+text) && strings.Contains(line, route) && strings.Contains(line, `"server":"srv0"`)
				}) {
					t.Errorf("%q is not among the warnings", want)
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
				t.Errorf("validating made %v, %v", entries, err)
			}
		})
	}
}

// TestErrorRoutesOfASubrouteMakeNoSuccess: unlike those of the server, they answer
// in the place of what failed behind a webhook. Only JSON has them.
func TestErrorRoutesOfASubrouteMakeNoSuccess(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	const (
		text     = "the error routes of a subroute answer failures with success"
		mayText  = "the error routes of a subroute may answer failures with success"
		proxy    = `{"handler":"reverse_proxy","upstreams":[{"dial":"localhost:1"}]}`
		subroute = `{"handler":"subroute","routes":[{"handle":[` + proxy + `]}],"errors":{"routes":[{%s"handle":[%s]}]}}`
	)
	inQueue := "instagram_queue {\nrespond MARK\n}\n"
	for name, tc := range map[string]struct{ site, match, handler, want string }{
		"status":          {webhook + "respond MARK", "", `{"handler":"static_response","status_code":200}`, text},
		"in a queue":      {webhook + inQueue, "", `{"handler":"static_response","status_code":"200"}`, text},
		"service":         {webhook + "respond MARK", "", proxy, mayText},
		"status kept":     {webhook + "respond MARK", "", `{"handler":"static_response","body":"sorry"}`, ""},
		"page":            {webhook + "respond MARK", "", `{"handler":"file_server"}`, ""},
		"page as success": {webhook + "respond MARK", "", `{"handler":"file_server","status_code":200}`, text},
		"aborted":         {webhook + "respond MARK", "", `{"handler":"static_response","abort":true,"status_code":200}`, ""},
		"status asked":    {webhook + "respond MARK", `"match":[{"expression":"{http.error.status_code} == 404"}],`, `{"handler":"static_response","status_code":200}`, ""},
		"file":            {webhook + "respond MARK", "", `{"handler":"instagram_file","path":"failed.jsonl"}`, ""},
		"without webhook": {"handle /webhooks {\n" + webhook + queue + "}\nhandle {\nrespond MARK\n}", "", `{"handler":"static_response","status_code":200}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			const mark = `{"body":"MARK","handler":"static_response"}`
			config := string(adapt(t, ":1 {\n"+tc.site+"\n}"))
			if !strings.Contains(config, mark) {
				t.Fatal(config)
			}
			got := warnings(t, []byte(strings.Replace(config, mark, fmt.Sprintf(subroute, tc.match, tc.handler), 1)))
			if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], `"msg":"`+tc.want)) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestNamedRoutesInvokedTwiceAreFollowedOnce: following each way through them would
// take until the end of days.
func TestNamedRoutesInvokedTwiceAreFollowedOnce(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for name, tc := range map[string]struct {
		last string // what the last of them does
		want string
	}{
		"a queue at the end":     {queue, ""},
		"nothing at the end":     {"vars a b\n", untaken},
		"the first again":        {"invoke r0\n", untaken},
		"a webhook in a circle":  {webhook + "invoke r0\n" + "instagram_file events.jsonl\n", ""},
		"failures as page there": {"intercept {\n@e status 5xx\nreplace_status @e 200\n}\nreverse_proxy localhost:1\n", masked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			const n = 40
			var sites strings.Builder
			for i := range n {
				fmt.Fprintf(&sites, "&(r%d) {\nroute {\ninvoke /a r%d\ninvoke /b r%d\n}\n}\n", i, i+1, i+1)
			}
			fmt.Fprintf(&sites, "&(r%d) {\nroute {\n%s}\n}\n:1 {\n%sinvoke r0\n}\n", n, tc.last, webhook)
			got := warnings(t, adapt(t, sites.String()))
			// What stands behind a way is another matter for the last one.
			if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) == 0 || len(got) > 2) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, line := range got {
				if !strings.Contains(line, `"msg":"`+tc.want) {
					t.Errorf("got %s, want %q", line, tc.want)
				}
			}
		})
	}
}

// TestNamedRouteMayTakeByOneThatInvokesIt: in a circle, a route takes what any route in it takes.
func TestNamedRouteMayTakeByOneThatInvokesIt(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Chdir(t.TempDir())
	const (
		first  = "&(first) {\nroute {\ninvoke /a second\nreverse_proxy localhost:1\n}\n}\n"
		second = "&(second) {\nroute {\ninvoke /b first\n}\n}\n"
	)
	got := warnings(t, adapt(t, first+second+":1 {\nhandle /a {\n"+webhook+"invoke first\n}\nhandle {\n"+webhook+"invoke second\n}\n}\n"))
	if len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

// TestQueueInTheDefaultPlaceIsToldAtLoad: after a restart nobody else would tell of
// events in a file that the config does not name any more.
func TestQueueInTheDefaultPlaceIsToldAtLoad(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	file := filepath.Join(data, "caddy", "instagram", "queue.db")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const text = "a queue is in the default place, but no instagram_queue uses it"
	for name, tc := range map[string]struct {
		site string
		want int
	}{
		"used":          {":1 {\n" + webhook + queue + "}", 0},
		"another path":  {":1 {\n" + webhook + "instagram_queue {\nstore sqlite other.db\nreverse_proxy localhost:9000\n}\n}", 1},
		"block removed": {":1 {\n" + webhook + "reverse_proxy localhost:9000\n}", 1},
	} {
		got := warnings(t, adapt(t, tc.site))
		if len(got) != tc.want || tc.want > 0 && !strings.Contains(got[0], text) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
