"""Packet captures: start one from the testbed's page, and download its file."""

from functools import partial

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from orchestration.errors import ExecutionRefused, TestbedError
from orchestration.plan.captures import MOST_SNAPLEN, place_named
from orchestration.plan.execution import Execution, Form, parse_execution
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.sessions import user_of_session
from testbed.access.visibility import Request, not_stored, run_for, testbed_for
from testbed.pages.execution.captures import growing
from testbed.runs.kept import capture_file
from testbed.runs.starting import start_execution
from testbed.views.execution.downloads import bounded
from testbed.views.execution.refusals import form_address
from testbed.views.problems import status_of
from testbed.views.testbeds import show_testbed

PCAP = "application/vnd.tcpdump.pcap"


class CaptureForm(forms.Form):
    """Where packets are captured, which, and how many."""

    place = forms.CharField(label="Place")
    filter = forms.CharField(label="Filter", required=False)
    snaplen = forms.IntegerField(label="Bytes of a packet", required=False)
    most_mib = forms.IntegerField(label="MiB", required=False)
    most_s = forms.IntegerField(label="Seconds", required=False)

    def execution(self) -> Execution:
        """Return what was asked for. Raises: ExecutionRefused."""
        if not self.is_valid():
            name, problems = next(iter(self.errors.items()))
            raise ExecutionRefused(f"{self.fields[name].label}: {problems[0]}")
        values = self.cleaned_data
        place = place_named(values["place"])
        capture = {
            "guest": place.guest,
            "interface": place.interface,
            "bridge": place.bridge,
            "host": place.host,
            "filter": values["filter"],
            "snaplen": values["snaplen"] or MOST_SNAPLEN,
            "most_mib": values["most_mib"] or 0,
            "most_s": values["most_s"] or 0,
        }
        return parse_execution({"form": Form.CAPTURE, "capture": capture})


@login_required
@form_address
def start(request: Request, address: Address) -> HttpResponse:
    """Start a capture at the place that was chosen."""
    testbed = testbed_for(request, address, Act.EXECUTE)
    try:
        wanted = CaptureForm(request.POST).execution()
        run = start_execution(testbed, request.user, wanted)
    except TestbedError as exc:
        return show_testbed(request, testbed, exc, status_of(exc))
    return redirect("run", run.pk)


@not_stored
@login_required
@require_GET
@bounded
def download(request: Request, pk: int) -> HttpResponseBase:
    """Send the packets of a capture; while it runs, also those that come."""
    run = run_for(request, pk, Act.TAKE_PACKETS)
    is_there = not run.is_over or capture_file(run).is_file()
    if not (run.is_capture and is_there):
        raise Http404("This run has no packets.")
    pieces = growing(run, partial(user_of_session, request.session.session_key))
    response = StreamingHttpResponse(pieces, content_type=PCAP)
    name = f"{run.testbed.name}-{run.pk}.pcap"
    header = content_disposition_header(True, name) or "attachment"
    response.headers["Content-Disposition"] = header
    # nginx would keep packets back until it has a buffer of them.
    response.headers["X-Accel-Buffering"] = "no"
    return response
