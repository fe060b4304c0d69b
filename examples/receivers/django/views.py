import json
from hashlib import sha256

from django.db import transaction
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import HandledEvent, Message


@csrf_exempt
@require_POST
@transaction.atomic
def webhooks(request):
    key = sha256(request.headers["Idempotency-Key"].encode()).hexdigest()
    _, new = HandledEvent.objects.get_or_create(id=key)
    if new and request.headers["Ce-Type"] == "com.instagram.messages":
        entry = json.loads(request.body)["entry"][0]
        for item in entry.get("messaging", []):
            Message.objects.create(
                account=entry["id"],
                sender=item["sender"]["id"],
                text=item["message"].get("text"),
            )
    return HttpResponse()
