"""The JSON schema and the reference are served to anybody, and may be kept."""

import pytest
from django.test import Client

from orchestration.compose.language.json_schema import language_schema
from testbed.models import Testbed


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


def test_pages_where_yaml_is_written_lead_to_its_reference(
    browser: Client, testbed: Testbed
):
    pages = ("/testbeds/new/", "/testbeds/olive/lab/edit/")
    shown = [browser.get(path).content.decode() for path in pages]

    reference = browser.get("/docs/yaml.md")

    assert all('href="/docs/yaml.md"' in page for page in shown)
    assert "/etc/nocloud/context/" in shown[0]
    assert reference["Content-Type"] == "text/plain; charset=utf-8"
    assert b"/etc/nocloud/context/" in reference.content
