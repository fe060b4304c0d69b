<?php

http_response_code(500); // until the work is done, whatever ends this script before
$key = $_SERVER['HTTP_IDEMPOTENCY_KEY'] ?? throw new Exception('the request is not from the queue');
$db = new PDO(getenv('DATABASE_DSN'));
$db->beginTransaction();
$handled = $db->prepare('INSERT INTO handled_events (id) VALUES (?) ON CONFLICT DO NOTHING');
$handled->execute([hash('sha256', $key)]);
if ($handled->rowCount() === 1 && $_SERVER['HTTP_CE_TYPE'] === 'com.instagram.messages') {
    $entry = json_decode(file_get_contents('php://input'), flags: JSON_THROW_ON_ERROR)->entry[0];
    foreach ($entry->messaging ?? [] as $item) {
        $db->prepare('INSERT INTO messages (account, sender, text) VALUES (?, ?, ?)')
            ->execute([$entry->id, $item->sender->id, $item->message->text ?? null]);
    }
}
$db->commit();
http_response_code(200);
