"""Settings of the test suite: the product's, in a folder of their own."""

import atexit
import os
import shutil
import tempfile

if "TESTBED_DATA_DIR" not in os.environ:
    folder = tempfile.mkdtemp(prefix="testbed-tests-")
    os.environ["TESTBED_DATA_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

from testbed.settings import *  # noqa: F403

# The suite makes folders for daemons, which have accounts of their own.
os.umask(0o022)

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REDIS_URL = ""
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Tests with threads need a database file: a shared memory one cannot wait for locks.
if "sqlite3" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")}  # noqa: F405
    # Nobody needs the tests' rows after a power cut, and each flush waits for the disk.
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"  # noqa: F405
STATIC_ROOT.mkdir(exist_ok=True)  # noqa: F405
# With a host's name: without one, a process's first message logs a warning.
CELERY_BROKER_URL = "memory://localhost/"
# Each test's client makes the middleware anew: without this, it reads every file's size.
WHITENOISE_AUTOREFRESH = True
