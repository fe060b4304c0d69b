<?php

namespace App\Controller;

use Doctrine\DBAL\Connection;
use Symfony\Component\HttpFoundation\{Request, Response};
use Symfony\Component\HttpKernel\Exception\BadRequestHttpException;
use Symfony\Component\Routing\Attribute\Route;

final class WebhookController
{
    #[Route('/webhooks', methods: ['POST'])]
    public function __invoke(Request $request, Connection $db): Response
    {
        $key = $request->headers->get('Idempotency-Key') ?? throw new BadRequestHttpException('the request is not from the queue');
        $db->transactional(function () use ($request, $db, $key): void {
            $new = $db->executeStatement('INSERT INTO handled_events (id) VALUES (?) ON CONFLICT DO NOTHING', [hash('sha256', $key)]);
            if ($new === 1 && $request->headers->get('Ce-Type') === 'com.instagram.messages') {
                $entry = $request->toArray()['entry'][0];
                foreach ($entry['messaging'] ?? [] as $item) {
                    $db->insert('messages', [
                        'account' => $entry['id'],
                        'sender' => $item['sender']['id'],
                        'text' => $item['message']['text'] ?? null,
                    ]);
                }
            }
        });

        return new Response();
    }
}
