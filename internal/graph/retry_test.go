package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

// failure returns a fault whose answer is an error of the Graph API.
func failure(status, code int, header ...string) graphtest.Fault {
	body, err := json.Marshal(map[string]any{"error": map[string]any{"message": "no", "type": "OAuthException", "code": code, "fbtrace_id": "Trace"}})
	if err != nil {
		panic(err)
	}
	f := graphtest.Fault{Status: status, Body: body, Header: map[string]string{}}
	for i := 0; i < len(header); i += 2 {
		f.Header[header[i]] = header[i+1]
	}
	return f
}

func times(n int, f graphtest.Fault) graphtest.Fault {
	f.Times = n
	return f
}

func TestRetries(t *testing.T) {
	t.Parallel()
	regain := func(minutes int) []string {
		return []string{"X-Business-Use-Case-Usage", fmt.Sprintf(`{"17841":[{"type":"instagram","call_count":100,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":%d}]}`, minutes)}
	}
	for name, test := range map[string]struct {
		fault    graphtest.Fault
		maxWait  time.Duration
		requests int
		fails    bool
		least    time.Duration
		most     time.Duration
	}{
		"transient code 1":    {fault: failure(500, 1), requests: 2, least: time.Second / 2, most: time.Second},
		"transient code 2":    {fault: times(3, failure(500, 2)), requests: 4, least: 3500 * time.Millisecond, most: 7 * time.Second},
		"a server error":      {fault: graphtest.Fault{Status: 502}, requests: 2, least: time.Second / 2, most: time.Second},
		"a broken connection": {fault: graphtest.Fault{Drop: true}, requests: 2, least: time.Second / 2, most: time.Second},
		"transient for long":  {fault: times(100, failure(500, 2)), maxWait: time.Hour, requests: 6, fails: true, least: 15 * time.Second, most: 31 * time.Second},
		"throttled":           {fault: failure(400, 4), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"throttled 17":        {fault: failure(400, 17), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"throttled 32":        {fault: failure(400, 32), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"throttled 613":       {fault: failure(400, 613), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"throttled 80002":     {fault: failure(400, 80002), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"throttled, nothing left": {fault: failure(400, 4, "X-App-Usage", `{"call_count":101,"total_time":25,"total_cputime":25}`),
			requests: 2, least: 30 * time.Second, most: time.Minute},
		"throttled, told how long":        {fault: failure(400, 80002, regain(19)...), maxWait: time.Hour, requests: 2, least: 19 * time.Minute, most: 19 * time.Minute},
		"throttled for too long":          {fault: failure(400, 80002, regain(19)...), requests: 1, fails: true},
		"throttled, endless":              {fault: failure(400, 80002, regain(1e9)...), maxWait: time.Hour, requests: 1, fails: true},
		"throttled, headers out of joint": {fault: failure(400, 4, "X-App-Usage", `{"call_count":"x"`, "X-Business-Use-Case-Usage", `[1]`), requests: 2, least: 7 * time.Second, most: 15 * time.Second},
		"nothing is tried again":          {fault: failure(500, 1), maxWait: -1, requests: 1, fails: true},
		"a dead token":                    {fault: failure(400, 190), requests: 1, fails: true},
		"a bad parameter":                 {fault: failure(400, 100), requests: 1, fails: true},
		"no permission":                   {fault: failure(403, 200), requests: 1, fails: true},
		"a failed callback":               {fault: failure(400, 2200), requests: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := meta()
				s.Fail(test.fault)
				c := client(s)
				c.MaxWait = test.maxWait
				var announced time.Duration
				c.OnWait = func(err error, wait time.Duration) {
					if err == nil {
						t.Error("waiting without a reason")
					}
					announced += wait
				}
				start := time.Now()
				_, err := c.Me(t.Context())
				took := time.Since(start)
				if (err != nil) != test.fails {
					t.Errorf("got %v", err)
				}
				if n := len(s.Requests()); n != test.requests {
					t.Errorf("%d requests, want %d", n, test.requests)
				}
				if took < test.least || took > test.most {
					t.Errorf("took %s, want %s to %s", took, test.least, test.most)
				}
				if took != announced {
					t.Errorf("took %s, but announced waits of %s", took, announced)
				}
			})
		})
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := meta()
		s.Fail(times(100, failure(400, 4)))
		c := client(s)
		c.MaxWait = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Me(ctx)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		refused, ok := errors.AsType[*graph.Error](err)
		if !errors.Is(err, context.DeadlineExceeded) || !ok || refused.Code != 4 {
			t.Errorf("got %v", err)
		}
	})
}

func TestThrottlingTellsForHowLong(t *testing.T) {
	t.Parallel()
	s := meta()
	s.Fail(failure(400, 4, "X-Business-Use-Case-Usage", `{"1":[{"estimated_time_to_regain_access":7}],"2":[{"estimated_time_to_regain_access":12}]}`))
	c := client(s)
	c.MaxWait = -1
	_, err := c.Me(t.Context())
	refused, ok := errors.AsType[*graph.Error](err)
	if !ok || refused.RetryAfter != 12*time.Minute || refused.Advice() != "There were too many calls. Try again in 12m0s." {
		t.Errorf("got %v", err)
	}
}

func TestUncertain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults    []graphtest.Fault
		uncertain bool
	}{
		"refused":                 {[]graphtest.Fault{failure(400, 100)}, false},
		"throttled":               {[]graphtest.Fault{times(9, failure(400, 4))}, false},
		"dropped":                 {[]graphtest.Fault{{Drop: true, Times: 9}}, true},
		"server error":            {[]graphtest.Fault{times(9, failure(500, 1))}, true},
		"gateway":                 {[]graphtest.Fault{{Status: 504, Times: 9}}, true},
		"html":                    {[]graphtest.Fault{{Status: 200, Body: json.RawMessage(`"<p>"`)}}, true},
		"no success":              {[]graphtest.Fault{{Status: 200, Body: json.RawMessage(`{"success":false}`)}}, true},
		"dropped, then throttled": {[]graphtest.Fault{{Drop: true}, times(9, failure(400, 4))}, true},
		"dropped, then refused":   {[]graphtest.Fault{{Drop: true}, failure(400, 100)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := meta()
				for _, f := range test.faults {
					s.Fail(f)
				}
				err := client(s).Subscribe(t.Context(), account, []string{"comments"})
				if err == nil || errors.Is(err, graph.ErrUncertain) != test.uncertain {
					t.Errorf("got %v", err)
				}
			})
		})
	}
	t.Run("not even connected", func(t *testing.T) {
		t.Parallel()
		closed := httptest.NewServer(http.NotFoundHandler())
		closed.Close()
		c := &graph.Client{BaseURL: closed.URL, Token: igToken, MaxWait: -1}
		if err := c.Subscribe(t.Context(), account, []string{"comments"}); err == nil || errors.Is(err, graph.ErrUncertain) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reading changes nothing", func(t *testing.T) {
		t.Parallel()
		s := meta()
		s.Fail(graphtest.Fault{Drop: true})
		c := client(s)
		c.MaxWait = -1
		if _, err := c.Me(t.Context()); err == nil || errors.Is(err, graph.ErrUncertain) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	advice := func(e graph.Error) string { return e.Advice() }
	seen := map[string]graph.Error{}
	for _, e := range []graph.Error{
		{Code: 190}, {Code: 190, Subcode: 460}, {Code: 190, Subcode: 463}, {Code: 190, Subcode: 467},
		{Code: 10}, {Code: 100}, {Code: 100, Subcode: 33}, {Code: 2200}, {Code: 4}, {Code: 2}, {Code: 368},
	} {
		text := advice(e)
		if other, same := seen[text]; same || text == "" {
			t.Errorf("%+v and %+v have the same advice %q", e, other, text)
		}
		seen[text] = e
	}
	for _, same := range [][2]graph.Error{
		{{Code: 10}, {Code: 200}}, {{Code: 10}, {Code: 299}}, {{Code: 4}, {Code: 17}}, {{Code: 4}, {Code: 613}},
		{{Code: 4}, {Status: http.StatusTooManyRequests}}, {{Code: 2}, {Code: 1}}, {{Code: 2}, {Code: 999, Transient: true}},
		{{Code: 100, Subcode: 33}, {Code: 100, Message: "Unsupported request - method type: post"}},
	} {
		if advice(same[0]) != advice(same[1]) {
			t.Errorf("%+v and %+v have different advice", same[0], same[1])
		}
	}
}
