"""No secret is in what a browser gets: no private key, password, hash or value.

What is kept back is said where it is missing.
"""

import re

import pytest
from django.test import Client

from testbed.models import Testbed
from testbed.pages.seed import is_secret
from tests.testbed.pages.artefacts.downloads import ARTEFACTS, archive_of, on_seed


def test_no_way_leads_to_a_private_key_or_password(browser: Client, generated: Testbed):
    keys = generated.project.identity_file.read_text().splitlines()[1:-1]

    archive = archive_of(browser)
    texts = [content.decode() for content in archive.values()]
    for name in archive:
        short = name.removeprefix("lab-artefacts/")
        texts.append(browser.get(f"{ARTEFACTS}{short}").content.decode())
        texts.append(browser.get(ARTEFACTS, {"show": short}).content.decode())

    assert len(keys) >= 2
    assert len(texts) == 3 * len(archive)
    for text in texts:
        assert not [key for key in keys if key in text]
        assert "BEGIN OPENSSH PRIVATE KEY" not in text
        assert "battery" not in text
    assert any("quiet-mode" in text for text in texts)


def test_page_says_what_is_on_a_seed_and_what_is_kept_back(
    browser: Client, generated: Testbed
):
    url = f"{ARTEFACTS}guests/web/seed/contents.txt"
    text = browser.get(url).content.decode()

    seed = generated.project.artefacts / "web-seed.iso"
    assert f"web-seed.iso: a read-only disk labelled cidata, {seed.stat().st_size}" in (
        text
    )
    for name in ("context.tar", "meta-data", "network-config", "user-data"):
        size = len(on_seed(generated, name))
        assert re.search(rf"^ +{size}  {name} ", text, re.M)
    assert "inner/page.html" in text
    assert "private host key itself; it is not on the seed." in text
    assert "- the values of DB_PASSWORD, by their names" in text
    assert "hash of the guest's password" not in text


def test_password_in_a_domain_is_hidden(browser: Client, generated: Testbed):
    xml = generated.project.artefacts / "web-domain.xml"
    graphics = "<graphics passwd='open-sesame'/>"
    xml.write_text(xml.read_text().replace("</devices>", f"{graphics}</devices>"))

    text = browser.get(f"{ARTEFACTS}guests/web/domain.xml").content.decode()

    assert "open-sesame" not in text
    assert 'passwd="(hidden)"' in text


def test_hash_of_a_guests_password_is_hidden(browser: Client, generated: Testbed):
    state = generated.project.read_state()
    hashed = {"password_hash": "$6$salt$digest"}
    guests = tuple(guest.model_copy(update=hashed) for guest in state.guests)
    generated.project.write_state(state.model_copy(update={"guests": guests}))

    user_data = browser.get(f"{ARTEFACTS}guests/web/seed/user-data").content.decode()
    everything = b"".join(archive_of(browser).values())

    assert '"hashed_passwd": "(hidden)"' in user_data
    assert b"$6$salt$digest" not in everything


@pytest.mark.parametrize(
    "key",
    ["API_TOKEN", "DB_PASSWD", "AUTH", "BASIC_AUTH", "pin", "SIM_PIN", "WIFI-PSK"],
)
def test_value_is_hidden_by_its_name(key: str):
    assert is_secret(key)


@pytest.mark.parametrize("key", ["AUTHOR", "PING", "SPIN", "MODE", "COOKIES_DIR"])
def test_other_values_are_shown(key: str):
    assert not is_secret(key)
