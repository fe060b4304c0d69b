<?php
// It gets one event at a time, and nothing that is not Meta's. Any answer but 2xx, and a
// fatal error, has the event come again: work on each Idempotency-Key once.
$event = json_decode(file_get_contents('php://input'), true, flags: JSON_THROW_ON_ERROR);
file_put_contents('php://stderr', "took {$_SERVER['HTTP_IDEMPOTENCY_KEY']}: an event of {$event['object']}\n");
