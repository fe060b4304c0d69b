from django.urls import path
from receiver import views

urlpatterns = [path("webhooks", views.webhooks)]
