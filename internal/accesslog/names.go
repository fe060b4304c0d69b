package accesslog

import (
	"net"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
)

// enabled reports whether the server writes access logs for the host of the
// request.
func (q *Request) enabled() bool {
	if q.Server == nil || q.Server.Logs == nil {
		return false
	}
	logs, host := q.Server.Logs, hostname(q.request.Host)
	for name := range logs.LoggerNames {
		if certmagic.MatchWildcard(host, name) {
			return true
		}
	}
	for _, skipped := range logs.SkipHosts {
		if certmagic.MatchWildcard(host, skipped) {
			return false
		}
	}
	return !logs.SkipUnmappedHosts
}

// loggerNames returns the names that the config gives loggers for this request:
// those of log_name, of its host, or of a wildcard over its host.
func (q *Request) loggerNames() (names []string) {
	if q.Server == nil || q.Server.Logs == nil {
		return []string{""}
	}
	chosen, ok := caddyhttp.GetVar(q.arrived, caddyhttp.AccessLoggerNameVarKey).([]any)
	if !ok {
		return namesForHost(q.Server.Logs, strings.ToLower(hostname(q.request.Host)))
	}
	for _, name := range chosen {
		if s, ok := name.(string); ok {
			names = append(names, s)
		}
	}
	return names
}

func namesForHost(logs *caddyhttp.ServerLogConfig, host string) []string {
	if names, ok := logs.LoggerNames[host]; ok {
		return names
	}
	labels := strings.Split(host, ".")
	for i := range labels {
		if labels[i] == "" {
			continue
		}
		labels[i] = "*"
		if names, ok := logs.LoggerNames[strings.Join(labels, ".")]; ok {
			return names
		}
	}
	return []string{logs.DefaultLoggerName}
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
