<?php
// Answers like an App, as far as PHP is told.
$body = file_get_contents('php://input');
header('Content-Type: application/json');
echo json_encode([
	'method' => $_SERVER['REQUEST_METHOD'],
	'uri' => $_SERVER['REQUEST_URI'],
	'sha256' => hash('sha256', $body),
	'length' => strlen($body),
	'content_length' => (int) ($_SERVER['CONTENT_LENGTH'] ?? -1),
	'transfer_encoding' => isset($_SERVER['HTTP_TRANSFER_ENCODING']) ? [$_SERVER['HTTP_TRANSFER_ENCODING']] : null,
	'header' => array_map(fn($value) => [$value], getallheaders()),
]);
