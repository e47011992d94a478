"""A testbed's YAML and files, and the artefacts as a browser gets them.

The archive is read as it comes over the wire, a seed image as a guest would read it.
"""

import asyncio
import io
import json
import zipfile

import pycdlib
from django.http import StreamingHttpResponse
from django.test import Client

from testbed.models import Testbed
from tests.testbed.conftest import YAML

ARTEFACTS = "/testbeds/olive/lab/artefacts/"
PASSWORD = "correct horse battery\nstaple"
SECRETIVE = YAML.replace(
    "cloud_image: {name: ubuntu_22_04}",
    "cloud_image:\n          name: ubuntu_22_04\n"
    f"          environment: {{DB_PASSWORD: {json.dumps(PASSWORD)}, MODE: quiet-mode}}\n"
    "          context: ctx\n"
    "          setup_script: ./a.sh",
)
SCRIPT = "#!/bin/sh\necho set up\n"


def archive_of(browser: Client) -> dict[str, bytes]:
    """Download everything, as a browser does."""
    answer = browser.get("/testbeds/olive/lab/artefacts.zip")
    assert isinstance(answer, StreamingHttpResponse)
    assert answer["Content-Disposition"].endswith('filename="lab-artefacts.zip"')

    async def collect() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    with zipfile.ZipFile(io.BytesIO(asyncio.run(collect()))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def on_seed(testbed: Testbed, name: str) -> bytes:
    """Read a file of web's seed image."""
    iso, buffer = pycdlib.PyCdlib(), io.BytesIO()
    iso.open(str(testbed.project.artefacts / "web-seed.iso"))
    iso.get_file_from_iso_fp(buffer, joliet_path=f"/{name}")
    iso.close()
    return buffer.getvalue()
