"""Compresses pages and static files, but no streams.

Django 5.2 compresses each part of an asynchronous stream as a gzip member of its own,
and browsers stop after the first one: a log would end after 1,000 lines (seen).
WhiteNoise sends static files as streams, compressed where `collectstatic` made copies;
a checkout has none. They are few and small, so each is compressed once in each process.
"""

import gzip
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

TEXTS = ("text/", "image/svg+xml", "application/json", "application/javascript")
# All texts of the product and of Django's admin are below 1 MiB together.
MOST_FILES = 256
# Of a file that was changed the client asks by its time: the tag is of its plain form.
NOT_KEPT = ("Content-Length", "ETag", "Accept-Ranges")


class PageCompression(GZipMiddleware):
    """Django's middleware for responses that are whole, and for static files."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Compress a response if its client accepts that and it is no stream."""
        is_static = request.path_info.startswith(settings.STATIC_URL)
        if is_static and isinstance(response, FileResponse):
            return _compressed(request, response)
        if response.streaming:
            return response
        return super().process_response(request, response)


def _compressed(request: HttpRequest, response: FileResponse) -> HttpResponseBase:
    """Compress a static file that is a text, and was asked for as a whole."""
    is_text = response.headers.get("Content-Type", "").startswith(TEXTS)
    if not is_text or response.headers.get("Content-Encoding"):
        return response
    patch_vary_headers(response, ("Accept-Encoding",))
    accepts = "gzip" in request.headers.get("Accept-Encoding", "")
    file = response.file_to_stream
    name = getattr(file, "name", "")
    if file is None or not name or not accepts or response.status_code != 200:
        return response
    file.close()
    found = Path(name)
    packed = HttpResponse(_packed(found, found.stat().st_mtime_ns))
    for header, value in response.items():
        if header not in NOT_KEPT:
            packed[header] = value
    packed["Content-Encoding"] = "gzip"
    return packed


@lru_cache(maxsize=MOST_FILES)
def _packed(path: Path, changed_at: int) -> bytes:
    """Return the compressed content of a file as it was at this time."""
    return gzip.compress(path.read_bytes(), mtime=0)
