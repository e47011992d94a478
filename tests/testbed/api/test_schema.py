"""The JSON schema is served to anybody, and may be kept."""

import pytest
from django.test import Client

from orchestration.compose.language.json_schema import language_schema


def test_schema_needs_no_session_and_may_be_cached(client: Client):
    response = client.get("/kvm-compose.json")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == language_schema()
    assert response.headers["Cache-Control"] == "public, max-age=3600"
    assert "Vary" not in response.headers or "Cookie" not in response.headers["Vary"]


@pytest.mark.parametrize("method", ["post", "delete"])
def test_schema_can_only_be_read(client: Client, method: str):
    assert getattr(client, method)("/kvm-compose.json").status_code == 405
