"""The settings of a Django project that has nothing but the app of the example."""

import os
from urllib.parse import urlsplit

DATABASE = urlsplit(os.environ["DATABASE_URL"])

ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": DATABASE.hostname,
        "PORT": DATABASE.port,
        "USER": DATABASE.username,
        "NAME": DATABASE.path[1:],
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["receiver"]
ROOT_URLCONF = "urls"
SECRET_KEY = "of the test"
USE_TZ = True
