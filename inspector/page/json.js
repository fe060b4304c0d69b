// A body is text. It is split into tokens and never decoded: its ids have more digits than a
// number of JavaScript holds, and what is not JSON must be shown as well.

const TOKEN = /[ \t\r\n]+|("[^"\\]*(?:\\[^][^"\\]*)*")|([{}[\],:])|(-?\d[\d.eE+-]*)|(true|false|null)|[^]/gu;

// tokens returns the tokens of a text as [kind, text]: together they are the text. Space and
// marks have no kind.
export function tokens(text) {
  return Array.from(text.matchAll(TOKEN), ([token, string, mark, number, word]) =>
    [string ? "string" : number || word ? "number" : mark || !token.trim() ? "" : "bad", token]);
}

// lines lays JSON out, with one value a line: a list of tokens. It changes nothing but the space
// between tokens. It returns undefined if the text has tokens that JSON has not.
export function lines(text) {
  const all = tokens(text).filter(([, token]) => token.trim());
  if (all.some(([kind]) => kind === "bad")) return undefined;
  const result = [];
  let line = [];
  let depth = 0;
  const end = () => {
    result.push(line);
    line = [["", "  ".repeat(Math.min(depth, 40))]];
  };
  all.forEach(([kind, token], i) => {
    const next = all[i + 1]?.[1];
    const opens = token === "{" || token === "[";
    const closes = token === "}" || token === "]";
    if (closes) {
      depth = Math.max(0, depth - 1);
      if (!/^[{[]$/.test(all[i - 1]?.[1])) end();
    }
    line.push([next === ":" ? "name" : kind, token]);
    if (token === ":") line.push(["", " "]);
    if (opens) depth++;
    if (token === "," || opens && !/^[}\]]$/.test(next)) end();
  });
  return [...result, line];
}

const ESCAPE = /\\u(d[89ab]..)\\u(d[c-f]..)|\\u(....)|\\([^])/gi;

// readable shows the escapes of a string as the characters that they stand for, unless these
// would be hidden, end the string, or change the order of others.
export function readable(string) {
  return string.replace(ESCAPE, (escape, high, low, unit, other) => {
    if (other) return other === "/" ? other : escape;
    const c = String.fromCharCode(...[high ?? unit, low].filter(Boolean).map((digits) => parseInt(digits, 16)));
    return c !== "\u200d" && /[\p{C}\p{Z}"\\]/u.test(c) ? escape : c;
  });
}

// difference compares two lists of at most 2000 strings. It returns [sign, string], where the
// sign is " ", "-" or "+".
export function difference(before, after) {
  if (Math.max(before.length, after.length) > 2000) return undefined;
  // common[i][j]: how many lines before[i:] and after[j:] have in common, in order.
  const common = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i][j] = before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const result = [];
  for (let i = 0, j = 0; i < before.length || j < after.length;) {
    if (before[i] === after[j]) {
      result.push([" ", before[i++]]);
      j++;
    } else if (j === after.length || common[i + 1]?.[j] >= common[i][j + 1]) result.push(["-", before[i++]]);
    else result.push(["+", after[j++]]);
  }
  return result;
}

const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

// curl returns a command that sends the body, signed with the secret in the variable
// IG_APP_SECRET. It returns undefined if it would not be safe to paste into a terminal.
export function curl(url, headers, body) {
  if (/[\0-\x08\x0b-\x1f\x7f-\x9f\ufffd]/.test([url, headers, body])) return undefined;
  return [
    "body=" + quote(body),
    `curl -sS ${quote(url)} \\`,
    ...headers.filter(([name, value]) => !/^(x-hub-.*|content-length|host)$/i.test(name) && !value.includes("$"))
      .map((header) => `  -H ${quote(header.join(": "))} \\`),
    '  -H "X-Hub-Signature-256: sha256=$(printf %s "$body" | openssl dgst -sha256 -hmac "$IG_APP_SECRET" -r | cut -c 1-64)" \\',
    '  --data-binary "$body"',
  ].join("\n");
}
