package browser

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// data is what a fake has to tell.
type data struct {
	stores, accounts, secrets, refusals []m
	expiries                            []m
	urls                                []string
	minutes                             m
	events                              []*event // the newest first
	dead                                m
	headers                             [][]string
}

func (d *data) overview(allow []string) m {
	return m{
		"user": "alice", "allow": allow, "now": before(0), "stores": d.stores, "minutes": d.minutes,
		"accounts": d.accounts, "app_secrets": d.secrets, "urls": d.urls, "expiries": d.expiries,
	}
}

// findings are what a check may find.
var findings = []m{
	{"check": "config", "status": "ok", "text": "The config has one instagram_webhook."},
	{"check": "config.ca", "status": "warning", "text": `The CA "CN=Meta Outbound API CA" in a trust pool expires on 2027-01-04 00:00 UTC.`,
		"advice": "Add its successor beside it; Meta's is on its page \"Getting started\" about webhooks. Then reload Caddy with --force."},
	{"check": "disk.space", "subject": "/var/lib/caddy/instagram", "status": "ok", "text": "71 GiB are free."},
	{"check": "dns", "status": "ok", "text": "hooks.example.com has 1 IPv4 and 1 IPv6 addresses, all of them public."},
	{"check": "certificate.name", "status": "fault", "text": `The certificate is not for hooks.example.com, but for ["www.example.com"].`,
		"advice": "Name the host in Caddy's site address, so that Caddy gets a certificate for it."},
	{"check": "http", "status": "skipped", "text": "the certificate is not trusted, so no secret is sent"},
	{"check": "token", "status": "skipped", "text": "there is no access token to ask Meta with"},
}

// event is an event for a consumer.
type event struct {
	shown               m
	history             []m
	raw, masked         string
	previous, blockedBy string
}

func (e *event) id() string     { return e.shown["id"].(string) }
func (e *event) number() uint64 { return atoi(e.id()) }

func atoi(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// before is a time as the API writes it, so long ago.
func before(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

const (
	account   = "17841405822304914"
	answer502 = "502: the backend cannot be reached: dial tcp 10.0.4.17:9001: connect: connection refused"
	answer422 = "422: Unprocessable Entity"
)

// calm is what an operator may see on a day with some trouble.
func calm() data {
	d := data{
		stores: []m{{
			"store": "/var/lib/caddy/instagram/queue.db", "pending": 2145, "in_flight": 4, "dead": 31, "delivered": 98214,
			"consumers": []m{
				{"consumer": "crm", "paused": false, "in_config": true, "pending": 0, "pending_bytes": 0, "in_flight": 3, "dead": 0, "delivered": 49107},
				{"consumer": "bot", "paused": false, "in_config": true, "pending": 14, "pending_bytes": 9114, "in_flight": 1, "dead": 31, "delivered": 21044,
					"oldest": before(26 * time.Minute), "last_error": m{"time": before(9 * time.Second), "error": answer502}},
				{"consumer": "archive", "paused": true, "in_config": true, "pending": 2131, "pending_bytes": 1402198, "in_flight": 0, "dead": 0, "delivered": 28063,
					"oldest": before(5*time.Hour + 12*time.Minute)},
			},
		}},
		minutes: minutes(),
		accounts: []m{
			{"account": account, "field": "messages", "last": before(2 * time.Second)},
			{"account": account, "field": "comments", "last": before(41 * time.Second)},
			{"account": "17841400008460056", "field": "messages", "last": before(6 * time.Minute)},
			{"account": "17841400008460056", "field": "story_insights", "last": before(31 * time.Hour)},
		},
		secrets: []m{{"name": "instagram", "last": before(2 * time.Second)}, {"name": "instagram-old", "last": before(19 * 24 * time.Hour)}, {"name": "facebook"}},
		urls:    []string{"https://hooks.example.com/webhooks"},
		expiries: []m{
			{"what": "client_ca", "name": "Meta Outbound API CA", "at": before(-35 * 24 * time.Hour), "soon": true},
			{"what": "certificate", "name": "hooks.example.com", "at": before(-71 * 24 * time.Hour)},
		},
		headers: [][]string{
			{"Content-Type", "application/json"}, {"User-Agent", "facebookexternalua"},
			{"X-Hub-Signature-256", "sha256=$IG_APP_SECRET"}, {"Idempotency-Key", "instagram/" + account + "/messages/aWdfZAG1faXRlbToxOk"},
			{"X-Instagram-Field", "messages"}, {"X-Instagram-Attempt", "4"},
		},
		dead: m{"looked_at": 31, "more": false, "causes": []m{
			{"cause": answer502, "consumer": "bot", "count": 27, "first": before(7 * time.Hour), "last": before(26 * time.Minute), "sample": "48187"},
			{"cause": answer422, "consumer": "bot", "count": 3, "first": before(50 * time.Hour), "last": before(11 * time.Hour), "sample": "47220"},
			{"cause": "410: the backend is not there any more", "consumer": "bot", "count": 1, "first": before(80 * time.Hour), "last": before(80 * time.Hour), "sample": "46001"},
		}},
	}
	d.addRefusals()
	d.addEvents(48213)
	return d
}

// minutes are 24 hours in which most happens in the evening, with an outage.
func minutes() m {
	const day = 1440
	accepted, refused, failed, none := make([]int, day), make([]int, day), make([]int, day), make([]int, day)
	for i := range day {
		accepted[i] = int(34 + 30*math.Sin(float64(i)/day*2*math.Pi+2.4) + 9*math.Sin(float64(i)/17) + float64(i*7919%13))
		if i%190 == 3 {
			refused[i] = 1 + i%5
		}
		if i > 1020 && i < 1060 || i > 1410 {
			failed[i] = accepted[i] / 3
		}
	}
	return m{"end": before(0), "accepted": accepted, "refused": refused, "consumers": m{
		"crm": m{"delivered": accepted, "failed": none}, "bot": m{"delivered": accepted[:1410], "failed": failed},
		"archive": m{"delivered": accepted[:1128], "failed": none},
	}}
}

func (d *data) addRefusals() {
	kinds := []m{
		{"reason": "signature_mismatch", "status": 401, "client_ip": "173.252.95.14", "count": 12, "advice": "The wrong secret, an old one, or a proxy in front that changed the body. Or a forgery.", "detail": "the signature was made with none of the app secrets instagram, instagram-old, facebook"},
		{"reason": "signature_missing", "status": 401, "client_ip": "185.220.101.4", "advice": "Not from Meta, or a proxy in front removed X-Hub-Signature-256. The old SHA-1 header is not enough.", "detail": "the header X-Hub-Signature-256 is missing"},
		{"reason": "parameter_missing", "status": 400, "client_ip": "2001:db8:85a3:8d3:1319:8a2e:370:7348", "advice": "This GET request is not Meta's verification request. Perhaps somebody opened the URL in a browser.", "detail": "hub.mode is missing: this is not a verification request of Meta"},
		{"reason": "signature_missing", "status": 401, "client_ip": "185.220.101.4", "advice": "Not from Meta, or a proxy in front removed X-Hub-Signature-256. The old SHA-1 header is not enough.", "detail": "the header X-Hub-Signature-256 is missing"},
		{"reason": "method_not_allowed", "status": 405, "client_ip": "45.155.205.99", "advice": "Only GET and POST are understood.", "detail": "only GET (verification) and POST (delivery) are understood"},
	}
	for i := range 240 {
		refusal := m{"time": before(time.Duration(i*i) * 11 * time.Second)}
		for name, value := range kinds[(i+i/7)%len(kinds)] {
			refusal[name] = value
		}
		d.refusals = append(d.refusals, refusal)
	}
}

// addEvents adds 90 events, for crm and bot, the newest of which has this id.
func (d *data) addEvents(newest uint64) {
	fields := []string{"messages", "messages", "comments", "messaging_seen", "messages", "message_reactions", "story_insights"}
	for i := range uint64(90) {
		accepted := 3*time.Second + time.Duration(i*i)*17*time.Second
		field := fields[i%7]
		person := 6230000000000011 + i%9*1234567
		raw := fmt.Sprintf(messageBody, newest-i, person, account, person)
		if field == "comments" {
			raw = fmt.Sprintf(commentBody, account, person, person+11)
		}
		order := fmt.Sprintf("%s/%d", account, person)
		if field == "story_insights" {
			order = ""
		}
		shown := func(consumer string) m {
			return m{
				"id": strconv.FormatUint(newest-i, 10), "consumer": consumer, "field": field, "account": account, "order": order,
				"identity": fmt.Sprintf("instagram/%s/%s/aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE%d", account, field, newest-i),
				"url":      "https://hooks.example.com/webhooks", "app_secret": "instagram", "size": len(raw),
				"accepted": before(accepted), "state": "delivered", "attempts": 1, "settled": before(accepted - time.Duration(70+i*i%310)*time.Millisecond),
			}
		}
		crm, bot := &event{shown: shown("crm")}, &event{shown: shown("bot")}
		if i == 0 {
			crm.shown["state"], crm.shown["in_flight"] = "pending", true
			delete(crm.shown, "settled")
		}
		switch {
		case i < 7:
			bot.shown["state"], bot.shown["attempts"], bot.shown["last_error"], bot.shown["lane"] = "pending", 3, answer502, "retried"
			bot.shown["due"] = before(-time.Duration(i+1) * 11 * time.Second)
			delete(bot.shown, "settled")
		case i >= 20 && i < 51:
			bot.shown["state"], bot.shown["attempts"], bot.shown["last_error"] = "dead", 12, answer502
			if i%11 == 0 {
				bot.shown["last_error"] = answer422
			}
			bot.shown["settled"] = before(26 * time.Minute)
		}
		if e, ok := bot.shown["last_error"]; ok {
			for n := range 4 {
				attempt := m{"ended": before(26*time.Minute + time.Duration(4-n)*time.Hour), "took": .012 * float64(n+1), "error": e}
				if e == answer422 || n == 2 {
					attempt["error"], attempt["status"], attempt["answer"] = "422: Unprocessable Entity", 422, `{"error":"unknown customer","customer":6230000000000011,"trace":"7f3a90cc"}`
				}
				bot.history = append(bot.history, attempt)
			}
		}
		for _, e := range []*event{bot, crm} {
			e.raw, e.masked = raw, mask(raw)
			if i < 80 && order != "" {
				e.previous = strconv.FormatUint(newest-i-9, 10)
			}
			d.events = append(d.events, e)
		}
	}
}

const (
	messageBody = `{"object":"instagram","entry":[{"time":17960000%d,"id":"17841405822304914","messaging":[{"sender":{"id":"%d"},` +
		`"recipient":{"id":"%s"},"timestamp":1796000000123,"message":{"mid":"aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx","text":"` + privateText + `",` +
		`"attachments":[{"type":"image","payload":{"url":"` + privateLink + `","asset_id":%d}}],"is_echo":false,"reply_to":null}}]}]}`
	commentBody = `{"entry": [{"id": "%s", "time": 1796000000, "changes": [{"value": {"from": {"id": "%d", "username": "` + privateName + `"}, ` +
		`"media": {"id": "17963456789012345", "media_product_type": "FEED"}, "id": "%d", "text": "` + privateText + `"}, "field": "comments"}]}], "object": "instagram"}`

	// What people wrote.
	privateText = `She said \"yes\" \u2728 \u0411\u043e\u043b\u044c\u0448\u043e\u0435 \u0441\u043f\u0430\u0441\u0438\u0431\u043e! \ud83d\ude4f`
	privateName = "atelier.ruth"
	privateLink = `https:\/\/lookaside.fbsbx.com\/ig_messaging_cdn\/?asset_id=18012345678901234&signature=AbyX9Qd`
)

// mask masks what people wrote, as the server does.
func mask(raw string) string {
	for _, private := range []string{privateText, privateName, privateLink} {
		raw = strings.ReplaceAll(raw, private, strings.Repeat("•", min(len(private), 40)))
	}
	return raw
}
