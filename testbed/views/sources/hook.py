"""The address that a forge calls after a push.

Its path holds a secret part that names the source, so that it tells strangers nothing:
an unknown one is answered as a wrong signature is.
"""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from orchestration.errors import TestbedError
from testbed.access.origin import address_of, client_of
from testbed.access.rates import counter_at
from testbed.api.shapes import problem_json
from testbed.models import Source
from testbed.sources.changes import ask_after_push
from testbed.sources.pushes import is_genuine, pushed_branch

JSON = "application/json"
_rates = counter_at(settings.REDIS_URL, "hook.")


@csrf_exempt
@require_POST
def push(request: HttpRequest, token: str) -> JsonResponse:
    """Ask for a fetch, when the branch of the source was pushed."""
    rate = _rates.count(client_of(address_of(request)), settings.HOOK_REQUESTS)
    if rate.left < 0:
        return _too_many(rate.left_s)
    rows = Source.objects.defer("manifest").select_related("testbed__owner")
    source = rows.filter(hook=token).first()
    if source is None or not is_genuine(source.secret, request.headers, request.body):
        return _refused(HTTPStatus.FORBIDDEN, *UNKNOWN)
    if request.content_type != JSON:
        return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, *NO_JSON)
    try:
        branch = pushed_branch(request.body)
    except ValueError:
        return _refused(HTTPStatus.BAD_REQUEST, "The body is not JSON.", "")
    if branch != source.branch:
        return JsonResponse({"fetch": None, "because": "another branch, or no push"})
    row = ask_after_push(source)
    return JsonResponse({"fetch": row.pk}, status=HTTPStatus.ACCEPTED)


UNKNOWN = (
    "The address is unknown, or the signature is wrong.",
    "Copy the address from the page Source, and make a new secret there.",
)
NO_JSON = ("The body is not JSON.", f"Choose the content type {JSON} in the forge.")


def _refused(status: HTTPStatus, message: str, hint: str) -> JsonResponse:
    return JsonResponse(problem_json(TestbedError(message, hint=hint)), status=status)


def _too_many(left_s: int) -> JsonResponse:
    hint = f"Wait {left_s} s."
    answer = _refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests.", hint)
    answer.headers["Retry-After"] = str(left_s)
    return answer
