// Checks the signature of a delivery over its raw bytes, and then
//   respond  answers
//   proxy    hands it to the application
//   append   writes it to a file, without a sync, and answers.
import fs from 'fs';

const hmac = { name: 'HMAC', hash: 'SHA-256' };
const secret = Buffer.from(process.env.SECRET);
const file = `${process.env.DIR}/events.jsonl`;
const newline = Buffer.from('\n');

// signed reports whether the signature is right. WebCrypto compares in constant
// time, which a loop in njs does too, but more slowly, and is several times as
// fast as the module crypto on large bodies. Each request has a VM of its own,
// so no key outlives it.
async function signed(r) {
  const got = r.headersIn['X-Hub-Signature-256'];
  const body = r.requestBuffer;
  if (r.method !== 'POST' || !body || !got || !got.startsWith('sha256=')) return false;
  const key = await crypto.subtle.importKey('raw', secret, hmac, false, ['verify']);
  return crypto.subtle.verify(hmac, key, Buffer.from(got.slice(7), 'hex'), body);
}

async function respond(r) {
  const ok = await signed(r);
  r.return(ok ? 200 : 401, '');
}

async function proxy(r) {
  const ok = await signed(r);
  if (!ok) return r.return(401, '');
  r.internalRedirect('@application');
}

async function append(r) {
  const ok = await signed(r);
  if (!ok) return r.return(401, '');
  fs.appendFileSync(file, Buffer.concat([r.requestBuffer, newline]));
  r.return(200, '');
}

export default { respond, proxy, append };
