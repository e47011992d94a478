import pytest

from tests.testbed.consoles.guests import Guests, Pages, gateway


@pytest.fixture
def guests():
    return Guests()


@pytest.fixture
def socket(settings, tmp_path):
    settings.CONSOLE_SOCKET = tmp_path / "console.sock"
    return settings.CONSOLE_SOCKET


@pytest.fixture
async def running(guests, socket):
    async with gateway(guests, socket) as serving:
        yield serving


@pytest.fixture
async def page():
    pages = Pages()
    yield pages
    await pages.close()
