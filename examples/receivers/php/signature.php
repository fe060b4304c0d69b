<?php

$signature = 'sha256=' . hash_hmac('sha256', file_get_contents('php://input'), getenv('IG_APP_SECRET'));
if (!hash_equals($signature, $_SERVER['HTTP_X_HUB_SIGNATURE_256'] ?? '')) {
    http_response_code(403);
    exit;
}
