"""Settings of the test suite: the product's, in a folder of their own."""

import os
import tempfile

os.environ.setdefault("TESTBED_DATA_DIR", tempfile.mkdtemp(prefix="testbed-tests-"))

from testbed.settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
