// A receiver as one writes it with Express: the signature is checked over the
// raw body, and then
//   answer  all is forgotten
//   append  each event is written to a file
//   fsync   each event is written to a file and synced to disk
// before the answer.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fsync, openSync, readFileSync, write } from 'node:fs';
import { createServer as createPlain } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { promisify } from 'node:util';
import express from 'express';

const { PORT, DIR, SECRET, TOKEN, SCHEME, CERT, KEY } = process.env;
const mode = process.argv[2];
const file = mode === 'answer' ? -1 : openSync(`${DIR}/events.jsonl`, 'a');
const append = promisify(write);
const sync = promisify(fsync);

const app = express();
app.disable('x-powered-by');
app.disable('etag');

app.get('/webhooks', (req, res) => {
  if (req.query['hub.verify_token'] !== TOKEN) return res.sendStatus(403);
  res.type('text').send(req.query['hub.challenge']);
});

app.post('/webhooks', express.raw({ type: '*/*', limit: '8mb', inflate: false }), async (req, res) => {
  const want = 'sha256=' + createHmac('sha256', SECRET).update(req.body).digest('hex');
  const got = req.get('X-Hub-Signature-256') ?? '';
  if (got.length !== want.length || !timingSafeEqual(Buffer.from(got), Buffer.from(want))) {
    return res.sendStatus(401);
  }
  if (file >= 0) {
    for (const event of eventsOf(JSON.parse(req.body))) {
      await append(file, JSON.stringify(event) + '\n');
      if (mode === 'fsync') await sync(file);
    }
  }
  res.sendStatus(200);
});

// eventsOf takes a delivery apart: each event is one of its own.
function* eventsOf({ object, entry }) {
  for (const { id, time, ...lists } of entry) {
    for (const [name, list] of Object.entries(lists)) {
      for (const item of list) yield { object, entry: [{ id, time, [name]: [item] }] };
    }
  }
}

const server = SCHEME === 'https'
  ? createSecure({ cert: readFileSync(CERT), key: readFileSync(KEY) }, app)
  : createPlain(app);
server.listen(PORT, '127.0.0.1', 1024);
