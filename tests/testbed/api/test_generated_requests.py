"""Requests that schemathesis makes from the OpenAPI document find no fault.

The account, the name and the run are those of a testbed that is there: other values
would mostly find nothing. Its run goes on, so that it is never deleted.
"""

from collections.abc import Iterator

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from testbed.access.tokens import make_token
from testbed.api.testbeds.archives import KINDS
from testbed.api.testbeds.uploads import PART
from testbed.models import Testbed
from tests.testbed.api.conftest import ALL
from tests.testbed.conftest import MakeRun, ShareWith

EXAMPLES = 6
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@schemathesis.serializer(*KINDS, PART)
def bytes_of_file(context: object, value: object) -> bytes:
    """Send what stands for a file as bytes: schemathesis knows no archives."""
    found = getattr(value, "data", value)
    return found if isinstance(found, bytes) else str(found).encode(errors="replace")


@pytest.fixture(autouse=True)
def kept_connection() -> Iterator[None]:
    """Keep the test's connection at the end of a request, as Django's client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


# It takes three minutes alone, and more than the usual limit beside other suites.
@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize("persona", ["viewer", "owner", "admin"])
def test_generated_requests_find_no_fault(
    persona: str,
    owner: User,
    admin: User,
    testbed: Testbed,
    share: ShareWith,
    make_run: MakeRun,
    settings: object,
):
    settings.ALLOWED_HOSTS = ["*"]
    settings.API_REQUESTS = 1_000_000
    users = {"owner": owner, "admin": admin, "viewer": share(testbed, "viewer")}
    # The test's transport unpacks nothing.
    header = {"Accept-Encoding": "identity"}
    header |= {"Authorization": f"Bearer {make_token(users[persona], 'st', ALL, 7)[1]}"}
    there = {"account": "olive", "name": "lab", "number": make_run().pk}
    schema = schemathesis.openapi.from_wsgi(
        "/api/v1/openapi.json", get_wsgi_application()
    )
    found = [result.ok() for result in schema.get_all_operations()]

    for operation in found:
        for mode in GenerationMode:
            check(operation.as_strategy(generation_mode=mode), there, header)

    assert len(found) > 120


def check(cases: object, there: dict[str, object], header: dict[str, str]) -> None:
    """Send requests of an operation, and look at each answer."""

    @how(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: Case) -> None:
        known = case.path_parameters.keys() & there.keys()
        case.path_parameters = {
            **case.path_parameters,
            **{name: there[name] for name in known},
        }
        with transaction.atomic():
            case.call_and_validate(headers=header, checks=CHECKS)
            transaction.set_rollback(True)

    send()
