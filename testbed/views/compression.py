"""Compresses pages, not streams.

Django 5.2 compresses each part of an asynchronous stream as a gzip member of its own,
and browsers stop after the first one: a log would end after 1,000 lines (seen).
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class PageCompression(GZipMiddleware):
    """Django's middleware for responses that are whole."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Compress a response if its client accepts that and it is no stream."""
        if response.streaming:
            return response
        return super().process_response(request, response)
