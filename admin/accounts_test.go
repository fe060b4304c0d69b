package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestNoAccounts asks a Caddy that looks after none. The tests in e2e ask one that does.
func TestNoAccounts(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]struct {
		status int
		body   string
	}{
		"GET /instagram/accounts":                          {http.StatusOK, "[]\n"},
		"GET /instagram/accounts?account=1":                {http.StatusBadRequest, "no parameter"},
		"POST /instagram/accounts/check":                   {http.StatusOK, "[]\n"},
		"GET /instagram/accounts/check":                    {http.StatusMethodNotAllowed, "POST"},
		"POST /instagram/accounts":                         {http.StatusMethodNotAllowed, "GET"},
		"GET /instagram/accounts/17841400000000001/token":  {http.StatusMethodNotAllowed, "POST"},
		"POST /instagram/accounts/17841400000000001/token": {http.StatusNotFound, "looks after no account"},
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		new(API).Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("IGAA-s3cr3t")))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.body) || strings.Contains(w.Body.String(), "s3cr3t") {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
	}
}
