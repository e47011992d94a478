"""An API token made in a real browser, and a program that does its work with it.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import json
import re

import httpx
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests.live.browser import YAML
from tests.live.stack import PASSWORD

pytestmark = pytest.mark.browser
PATIENCE_S = 120


def made_token(page: Page) -> str:
    """Make a token with the form; return its text."""
    page.goto("/tokens/")
    page.get_by_label("Name", exact=True).fill("ci")
    for scope in ("run:", "edit:", "manage:"):
        page.get_by_label(scope).check()
    submit(page)
    copy = page.locator("[data-copies]")
    copy.press("Enter")
    # A browser without windows may have no clipboard.
    expect(copy).to_contain_text(re.compile("Copied|Selected: press Ctrl"))
    return page.locator("#text").inner_text()


def submit(page: Page) -> None:
    """Send the form, and the password once more where it is asked for."""
    with page.expect_navigation():
        page.get_by_role("button", name="Make").click()
    if page.get_by_role("heading", name="Confirm that it is you").is_visible():
        page.get_by_label("Password").fill(PASSWORD)
        with page.expect_navigation():
            page.get_by_role("button", name="Confirm").click()


def follow(client: httpx.Client, started: httpx.Response) -> str:
    """Follow a run's events to its end; return its status."""
    assert started.status_code == 202, started.text
    number = started.json()["run"]
    address = str(client.base_url).replace("http", "ws", 1).rstrip("/")
    headers = {"Authorization": client.headers["Authorization"]}
    with connect(
        f"{address}/ws/orchestration/{number}/", additional_headers=headers
    ) as socket:
        socket.send(json.dumps({"type": "subscribe", "after": 0}))
        seqs = []
        while True:
            frame = json.loads(socket.recv(timeout=PATIENCE_S))
            if frame["type"] == "event":
                seqs.append(frame["seq"])
            if frame["type"] == "run":
                assert seqs == sorted(set(seqs))
                return frame["status"]


def test_program_does_a_whole_job_with_a_token_until_it_is_revoked(page: Page):
    token = made_token(page)
    base = page.evaluate("location.origin")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE_S) as client:
        account = client.get("/api/v1/me").json()["account"]
        new = client.post("/api/v1/testbeds", json={"name": "by-token", "yaml": YAML})
        lab = f"/api/v1/testbeds/{account}/by-token"
        up = follow(client, client.post(f"{lab}/runs", json={"command": "up"}))
        guests = client.get(f"{lab}/guests").json()["items"]
        command = {"form": "command", "selection": "web", "words": ["true"]}
        executed = client.post(f"{lab}/exec", json=command)
        follow(client, executed)
        answers = client.get(f"{executed.headers['Location']}/answers").json()
        down = follow(client, client.post(f"{lab}/runs", json={"command": "down"}))

        page.goto("/tokens/")
        page.get_by_role("button", name="Revoke ci").press("Enter")
        expect(page.get_by_text("The token ci was revoked.")).to_be_visible()
        ended = client.get("/api/v1/me")

    assert new.status_code == 201
    assert (up, down) == ("succeeded", "succeeded")
    assert {guest["guest"] for guest in guests} == {"web", "db"}
    assert all(guest["management_address"] for guest in guests)
    assert answers["blocks"][0]["guests"] == ["web"]
    assert ended.status_code == 401
    assert "revoked" in ended.json()["detail"]


def test_refused_form_says_why_and_the_operations_are_listed(refused: Page):
    refused.goto("/tokens/")
    refused.get_by_label("Name", exact=True).fill(" ")
    submit(refused)

    expect(refused.get_by_role("alert")).to_contain_text("A name has 1 to 60")

    refused.goto("/api/")
    expect(refused.get_by_role("heading", name="REST API")).to_be_visible()
    expect(refused.get_by_text("list_testbeds")).to_be_visible()
