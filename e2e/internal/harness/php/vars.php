<?php
// Sends all that PHP is told of a request to the App whose address is in RELAY.
$context = stream_context_create(['http' => ['method' => 'POST', 'content' => json_encode($_SERVER)]]);
file_get_contents('http://' . $_SERVER['RELAY'] . '/vars', false, $context);
