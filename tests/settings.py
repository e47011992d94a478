"""Settings of the test suite: the product's, in a folder of their own."""

import os
import tempfile

os.environ.setdefault("TESTBED_DATA_DIR", tempfile.mkdtemp(prefix="testbed-tests-"))

from testbed.settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Tests with threads need a database file: a shared memory one cannot wait for locks.
if "sqlite3" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")}  # noqa: F405
STATIC_ROOT.mkdir(exist_ok=True)  # noqa: F405
CELERY_BROKER_URL = "memory://"
