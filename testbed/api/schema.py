"""The JSON schema of the YAML, for the users' editors."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from orchestration.compose.language.json_schema import language_schema

HOUR_S = 3600


@require_safe
@cache_control(public=True, max_age=HOUR_S)
def kvm_compose(request: HttpRequest) -> JsonResponse:
    """Return the schema, without signing in: an editor has no session."""
    return JsonResponse(dict(language_schema()))
