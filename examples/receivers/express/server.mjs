import { createHash } from 'node:crypto';
import express from 'express';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
pool.on('error', console.error); // without these, Node ends when a connection does
pool.on('connect', (db) => db.on('error', console.error));
const app = express();

app.post('/webhooks', express.raw({ type: () => true, limit: '8mb' }), async (req, res) => {
  const key = createHash('sha256').update(req.get('Idempotency-Key')).digest('hex');
  const db = await pool.connect();
  try {
    await db.query('BEGIN');
    const handled = await db.query('INSERT INTO handled_events (id) VALUES ($1) ON CONFLICT DO NOTHING', [key]);
    if (handled.rowCount === 1 && req.get('Ce-Type') === 'com.instagram.messages') {
      const entry = JSON.parse(req.body).entry[0];
      for (const item of entry.messaging ?? []) {
        await db.query('INSERT INTO messages (account, sender, text) VALUES ($1, $2, $3)',
          [entry.id, item.sender.id, item.message.text]);
      }
    }
    await db.query('COMMIT');
  } catch (error) {
    db.release(error); // closes the connection, which rolls back
    throw error; // Express answers 500
  }
  db.release();
  res.sendStatus(200);
});

app.listen(process.env.PORT ?? 9000, '127.0.0.1');
