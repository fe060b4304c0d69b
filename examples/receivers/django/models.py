from django.db import models


class HandledEvent(models.Model):
    id = models.CharField(primary_key=True, max_length=64)
    handled_at = models.DateTimeField(auto_now_add=True)


class Message(models.Model):
    account = models.TextField()
    sender = models.TextField()
    text = models.TextField(null=True)
