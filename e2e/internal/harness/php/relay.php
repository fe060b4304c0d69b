<?php
// Passes what it gets on to the App whose address is in RELAY, and answers with
// the status of its answer. The App so tells what PHP was told.
$headers = [];
foreach (getallheaders() as $name => $value) $headers[] = "$name: $value";
$context = stream_context_create(['http' => [
	'method' => $_SERVER['REQUEST_METHOD'],
	'header' => $headers,
	'content' => file_get_contents('php://input'),
	'ignore_errors' => true,
]]);
file_get_contents('http://' . $_SERVER['RELAY'] . $_SERVER['REQUEST_URI'], false, $context);
http_response_code((int) explode(' ', $http_response_header[0])[1]);
