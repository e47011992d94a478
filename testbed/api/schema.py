"""The JSON schema and the reference of the YAML, for users and their editors."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from orchestration.compose.language.json_schema import language_schema

HOUR_S = 3600


@require_safe
@cache_control(public=True, max_age=HOUR_S)
def kvm_compose(request: HttpRequest) -> JsonResponse:
    """Return the schema, without signing in: an editor has no session."""
    return JsonResponse(dict(language_schema()))


@require_safe
@cache_control(public=True, max_age=HOUR_S)
def yaml_reference(request: HttpRequest) -> HttpResponse:
    """Return docs/yaml.md as text, without signing in."""
    text = (settings.BASE_DIR / "docs" / "yaml.md").read_bytes()
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
