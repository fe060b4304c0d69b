package event_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// The cases of Nicolas Seriot's "Parsing JSON is a Minefield" in words of our
// own: texts that a parser must accept, must refuse, and may do either with.
var (
	acceptedTexts = []string{
		// arrays
		"[]", "[ ]", "[[]   ]", `[""]`, `["b"]`, "[true]", `[null, 1, "1", {}]`, "[2\n]", " [7]", "[2,null,null,null,3]", "[4] ", "[[],[[]],{}]",
		// numbers
		"[123e65]", "[0e+1]", "[0e1]", "[ 4]", "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000000001]",
		"[20e1]", "[-0]", "[-123]", "[-1]", "[1E22]", "[1E-2]", "[1E+2]", "[123e45]", "[123.456e78]", "[1e-2]", "[1e+2]", "[123]", "[123.456789]", "0", "-0.5e-5",
		// objects
		`{"ab":"cd","de":"fg"}`, `{"a":"b"}`, `{"a":"b","a":"c"}`, `{"a":"b","a":"b"}`, `{}`, `{"":0}`, `{"ab\u0000cd":42}`,
		`{"least":-1.0e+28,"most":1.0e+28}`, `{"x":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}],"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`,
		`{"a":[]}`, `{"t":"\u041f\u043e\u043b\u0442\u043e\u0440\u0430"}`, "{\n\"a\":\"b\"\n}", "{ \"a\" :\t1 ,\r\n\"b\" : [ ] }",
		// strings
		`["\u0060\u012a\u12AB"]`, `["\ud801\udc37"]`, `["\ud83d\ude39\ud83d\udc8d"]`, `["\"\\\/\b\f\n\r\t"]`, `["\\u0000"]`, `["\""]`, `["a/*b*/c/*d//e"]`,
		`["\\a"]`, `["\\n"]`, `["\u0012"]`, `["\uFFFF"]`, `["asd"]`, `[ "asd"]`, `["\uDBFF\uDFFF"]`, `["new\u00A0line"]`, "[\"\U0010ffff\"]", "[\"\uffff\"]",
		`["\u0000"]`, `["\u002c"]`, "[\"\u03c0\"]", "[\"\U0001bfff\"]", `["asd "]`, `" "`, `["\uD834\uDd1e"]`, `["\u0821"]`, `["\u0123"]`, "[\"\u2028\"]", "[\"\u2029\"]",
		`["\u0061\u30af\u30EA\u30b9"]`, `["new\u000Aline"]`, "[\"\x7f\"]", `["\uA66D"]`, `["\u005C"]`, "[\"\u2342\u3248\u2342\"]", `["\u200B"]`, `["\u2064"]`,
		`["\uFDD0"]`, `["\uFFFE"]`, `["\u0022"]`, "[\"\u20ac\U0001d11e\"]", "[\"a\x7fa\"]", `"\u0065"`,
		// alone
		"false", "42", "-0.1", "null", `"asd"`, "true", `""`, "[\"a\"]\n", "\t\r\n [] ",
	}

	refusedTexts = []string{
		// arrays
		"[1 true]", "[a\xe5]", `["": 1]`, `[""],`, "[,1]", "[1,,2]", `["x",,]`, `["x"]]`, `["",]`, `["x"`, "[x", "[3[4]]", "[\xff]", "[1:2]", "[,]", "[-]", "[   , \"\"]",
		"[\"a\",\n4\n,1,", "[1,]", "[1,,]", "[\"\va\"\\f]", "[*]", `[""`, "[1,", "[1,\n1\n,1", "[{}", "[fals]", "[nul]", "[tru]", "[", "]", "[][]", "[}", "[1}", "[{}}", `{"a":[1}}`, `[{"a":1]]`,
		// numbers
		"123\x00", "[++1234]", "[+1]", "[+Inf]", "[-01]", "[-1.0.]", "[-2.]", "[-NaN]", "[.-1]", "[.2e-3]", "[0.1.2]", "[0.3e+]", "[0.3e]", "[0.e1]", "[0E+]", "[0E]",
		"[0e+]", "[0e]", "[1.0e+]", "[1.0e-]", "[1.0e]", "[1 000.0]", "[1eE2]", "[2.e+3]", "[2.e-3]", "[2.e3]", "[9.e+]", "[Inf]", "[NaN]", "[\uff11]", "[1+2]", "[0x1]",
		"[0x42]", "[Infinity]", "[0e+-1]", "[-123.123foo]", "[123\xe5]", "[1e1\xe5]", "[0\xe5]", "[-Infinity]", "[-foo]", "[- 1]", "[-012]", "[-.123]", "[-1x]", "[1ea]",
		"[1e\xe5]", "[1.]", "[.123]", "[1.2a-3]", "[1.8011670033376514H-308]", "[012]", "-", "1.", "01", "1e", "--1",
		// objects
		`["x", truth]`, `{[: "x"}`, `{"x", null}`, `{"x"::"b"}`, "{\U0001f1e8\U0001f1ed}", `{"a":"a" 123}`, `{key: 'value'}`, "{\"\xb9\":\"0\",}", `{"a" b}`, `{:"b"}`, `{"a" "b"}`,
		`{"a":`, `{"a"`, `{1:1}`, `{9999E9999:1}`, `{null:null,null:null}`, `{"id":0,,,,,}`, `{'a':0}`, `{"id":0,}`, `{"a":"b"}/**/`, `{"a":"b"}/**//`, `{"a":"b"}//`, `{"a":"b"}/`,
		`{"a":"b",,"c":"d"}`, `{a: "b"}`, `{"a":"a`, `{ "foo" : "bar", "a" }`, `{"a":"b"}#`, "{", "}", `{"a"}`, `{"a":}`, `{,}`, `{"a":1]`, `{"a":1 "b":2}`, `{"":`, `{"a":/*b*/1}`,
		// strings
		`["\uD800\"]`, `["\uD800\u"]`, `["\uD800\u1"]`, `["\uD800\u1x"]`, `[é]`, "[\"\\\x00\"]", `["\x00"]`, `["\\\"]`, "[\"\\\t\"]", "[\"\\\U0001f300\"]", `["\"]`, `["\u00A"]`, `["\uD834\uDd"]`,
		`["\uD800\uD800\x"]`, "[\"\\u\xe5\"]", `["\a"]`, `["\uqqqq"]`, "[\"\\\xe5\"]", `[\u0020"asd"]`, `[\n]`, `"`, `['single']`, "abc", `["\`, "[\"a\x00a\"]", "[\"new\nline\"]", "[\"\t\"]",
		`"\UA66D"`, `""x`, `"\u12"`, `"\`, `"a`, `"\u`, "[\"a\rb\"]", "\"\x1f\"",
		// structures
		"<.>", "[<null>]", "[1]x", "[1]]", `["asd]`, "a\xc3\xa5", "[True]", "1]", `{"x": true,`, "[][]", "]", "\xef\xbb{}", "\xe5", "[", "", "[\x00]", "2@", "{}}", `{"":`, `{"a":/*comment*/"b"}`,
		`{"a": true} "x"`, `['`, `["a`, `[,`, `[{`, `["a",`, "{]", "{,", "{[", `{"a`, `{'a'`, `["\{["\{["\{["\{`, "*", `{"a":"b"}#{}`, "[\u2060]", `[\u000A""]`, "[1", "[ false, nul", "[ true, fals",
		"[ false, tru", `{"asd":"asd"`, "\u00e5", "\ufeff", "\ufeff{}", "[\f]", "\u2060[]", "\u00a0[]", "nulll", "truefalse", "tru", "TRUE", "None", "undefined",
	}

	eitherTexts = []string{
		"[123.456e-789]", "[0.4e00669999999999999999999999999999999999999999999969999999006]", "[-1e+9999]", "[1.5e+9999]", "[-123123e100000]", "[123123e100000]", "[123e-10000000]",
		"[-123123123123123123123123123123]", "[100000000000000000000]", "[-237462374673276894279832749832423479823246327846]",
		`{"\uDFAA":0}`, `["\uDADA"]`, `["\uD888\u1234"]`, `["\uD800\n"]`, `["\uDd1ea"]`, `["\uD800\uD800\n"]`, `["\ud800"]`, `["\ud800abc"]`, `["\uDd1e\uD834"]`, `["\uDFAA"]`,
		"[\"\xe9\"]", "[\"\xe0\xff\"]", "[\"\xc0\xaf\"]", "[\"\xfc\x83\xbf\xbf\xbf\xbf\"]", "[\"\xfc\x80\x80\x80\x80\x80\"]", "[\"\xff\"]", "[\"\xf4\xbf\xbf\xbf\"]", "[\"\xed\xa0\x80\"]",
		"[\"\x81\"]", "[\"\xf8\x88\x80\x80\x80\"]", "[\"\xe6\x97\xa5\xd1\x88\xfa\"]", "\xff\xfe[\x00\"\x00\xe9\x00\"\x00]\x00", "\x00[\x00\"\x00\xe9\x00\"\x00]", "\ufeff{}",
		strings.Repeat("[", 500) + strings.Repeat("]", 500),
		strings.Repeat("[", 995) + strings.Repeat("]", 995), strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strings.Repeat("[", 1001) + strings.Repeat("]", 1001),
		strings.Repeat(`{"a":`, 1001) + "1" + strings.Repeat("}", 1001), strings.Repeat("[", 10_001), strings.Repeat(`[{"":`, 5_000) + "\n",
		`"` + strings.Repeat("x", 1<<12) + `"`, strings.Repeat("9", 1<<12), "[" + strings.Repeat("0,", 1<<5) + "0]", "{" + strings.Repeat(`"a":1,`, 1<<5) + `"a":1}`,
	}
)

// places are where a text can stand in a delivery.
var places = []string{
	"@",
	`{"object":@,"entry":[{"id":"1","time":2,"changes":[{"field":"comments","value":{"id":"3"}}]}]}`,
	`{"object":"instagram","entry":@}`,
	`{"object":"instagram","entry":[@]}`,
	`{"object":"instagram","entry":[{"id":@,"time":@,"messaging":[{"message":{"mid":"4"}}]}],"other":@}`,
	`{"object":"instagram","entry":[{"id":"1","time":2,"changes":@}]}`,
	`{"object":"instagram","entry":[{"id":"1","changes":[@],"messaging":[@,@],"standby":[@],"changed_fields":[@]}]}`,
	`{"object":"instagram","entry":[{"id":"1","field":@,"value":@}]}`,
	`{"object":"instagram","entry":[{"id":"1","changes":[{"field":@,"value":{"id":"3"}},{"field":"comments","value":@}]}]}`,
	`{"object":"instagram","entry":[{"id":"1","changes":[{"field":"comments","value":{"id":@,"from":@,"media":{"id":@}}}]}]}`,
	`{"object":"instagram","entry":[{"id":"1","messaging":[{"sender":@,"timestamp":@,"message":{"mid":@,"is_echo":@}},{"message":@}]}]}`,
	`{"object":"instagram","entry":[{"id":"1","messaging":[{"optin":{}}]}]}@`,
	`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"contacts":[@,{"wa_id":"2"}],"messages":[@,{"id":"m","from":"2"},{"from":@}],"statuses":@,"metadata":@}},@]}]}`,
	`{"object":"whatsapp_business_account","entry":{"id":"1","changes":[{"value":@,"field":"messages"}]}}`,
	`{"app_id":"1","target_id":@,"values":{"field":@,"value":{"id":@}},"time":@}`,
	`{"target_id":"2","values":[{"field":"replies","value":{"id":"3","root_post":@,"replied_to":@}},@]}`,
	`[@,{"object":"instagram","entry":[{"id":"1","messaging":[{"x":@}]}]},@]`,
}

func TestGrammar(t *testing.T) {
	for _, text := range acceptedTexts {
		if !json.Valid([]byte(text)) {
			t.Errorf("%q is not valid", text)
		}
	}
	for _, text := range refusedTexts {
		if json.Valid([]byte(text)) {
			t.Errorf("%q is valid", text)
		}
	}
	for _, texts := range [][]string{acceptedTexts, refusedTexts, eitherTexts} {
		for _, text := range texts {
			for _, place := range places {
				checkSplit(t, []byte(strings.ReplaceAll(place, "@", text)))
			}
		}
	}
}
