"""The download with which a user's own ssh reaches the guests of a testbed."""

import io
import zipfile

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_GET

from testbed.access.addresses import Address
from testbed.access.permissions import Act, record_act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.pages.overview import state_of
from testbed.ssh.config import (
    config_text,
    known_hosts_text,
    ways_into,
    web_name,
)


@not_stored
@login_required
@require_GET
def download(request: Request, address: Address) -> HttpResponse:
    """Send `ssh_config` and `known_hosts` of a testbed in one archive."""
    testbed = testbed_for(request, address, Act.SSH)
    state, _ = state_of(testbed)
    if state is None:
        raise Http404("Nothing was generated yet.")
    web = web_name(request)
    ways = ways_into(state, testbed.project, state.guests, web=web)
    record_act(request.user, Act.SSH, testbed, "took its SSH configuration")
    folder = f"{testbed.name}-ssh"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{folder}/ssh_config", config_text(ways))
        file.writestr(f"{folder}/known_hosts", known_hosts_text(ways))
    response = HttpResponse(archive.getvalue(), content_type="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="{folder}.zip"'
    return response
