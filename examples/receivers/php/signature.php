<?php

http_response_code(500); // until the signature has been checked, whatever ends this script before
$secret = getenv('IG_APP_SECRET') ?: throw new Exception('IG_APP_SECRET is not set');
$signature = 'sha256=' . hash_hmac('sha256', file_get_contents('php://input'), $secret);
if (!hash_equals($signature, $_SERVER['HTTP_X_HUB_SIGNATURE_256'] ?? '')) {
    http_response_code(403);
    exit;
}
http_response_code(200);
