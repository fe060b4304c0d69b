<?php

use Illuminate\Http\Request;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Route;

Route::post('/webhooks', function (Request $request) {
    $key = $request->header('Idempotency-Key') ?? abort(400, 'the request is not from the queue');
    DB::transaction(function () use ($request, $key) {
        $new = DB::table('handled_events')->insertOrIgnore(['id' => hash('sha256', $key)]);
        if ($new === 1 && $request->header('Ce-Type') === 'com.instagram.messages') {
            foreach ($request->json('entry.0.messaging', []) as $item) {
                DB::table('messages')->insert([
                    'account' => $request->json('entry.0.id'),
                    'sender' => $item['sender']['id'],
                    'text' => $item['message']['text'] ?? null,
                ]);
            }
        }
    });
});
