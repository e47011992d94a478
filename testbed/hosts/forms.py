"""The forms of hosts: what an admin types, with an error at each wrong field."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar

from django import forms
from django.db.models import Q, QuerySet

from orchestration.errors import HostUnreachable
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.hosts.editing import FIELDS
from testbed.models import Host, NewHost

if TYPE_CHECKING:  # these take a type argument in their stubs only
    NewHostBase = forms.ModelForm[NewHost]
    HostBase = forms.ModelForm[Host]
else:
    NewHostBase = HostBase = forms.ModelForm

DEFAULT_KEY = "/etc/testbed/host-key"
REACHED = ("name", "address", "port", "user", "identity_file", "tunnel_address")
FOLDERS = ("projects_dir", "images_dir")
LABELS = {
    "name": "Name",
    "is_main": "This is main: the web and the worker run on it",
    "address": "Address",
    "port": "SSH port",
    "user": "Account",
    "identity_file": "Private key on main",
    "tunnel_address": "Tunnel address",
    "projects_dir": "Folder of guests' disks",
    "images_dir": "Folder of images",
    "host_key": "Host key",
    "domain_type": "Guests run with",
    "compress_copies": "Compress images on their way to it",
    "has_firewall": "Firewall of the testbeds",
    "vcpu_overcommit": "Overcommit of vCPUs",
    "memory_overcommit": "Overcommit of memory",
}
HINTS = {
    "name": "Letters, digits, hyphens and underscores; shown everywhere.",
    "address": "An IP address or a DNS name. For main, the one that other hosts reach.",
    "user": "root, or an account with sudo and libvirt.",
    "identity_file": "A path, readable by the worker; the key has no passphrase.",
    "tunnel_address": "Where tunnels end; empty: the address.",
    "domain_type": "kvm, or qemu without acceleration.",
    "datapath": "Of Open vSwitch: system is the kernel's, netdev is slower.",
}

KEY_HINT = (
    "The pinned key, one line. Change it only after the host was installed again, to what "
    "its own console shows: `cat /etc/ssh/ssh_host_ed25519_key.pub`."
)


class NewHostForm(NewHostBase):
    """How a host is reached, before any contact with it."""

    class Meta:
        model = NewHost
        fields = (*REACHED, *FOLDERS, "is_main")
        labels = LABELS
        help_texts = HINTS
        error_messages: ClassVar = {
            "name": {
                "invalid": "Use letters, digits, hyphens and underscores.",
                "unique": "A host with this name is being added already.",
            }
        }

    def __init__(self, data: Mapping[str, object] | None = None) -> None:
        super().__init__(data, initial={"identity_file": _usual_key()})
        if Host.objects.filter(is_main=True).exists():
            del self.fields["is_main"]

    def clean_name(self) -> str:
        """Refuse the name of a host."""
        name = str(self.cleaned_data["name"])
        if Host.objects.filter(name__iexact=name).exists():
            raise forms.ValidationError("There is already a host with this name.")
        return name

    def clean(self) -> dict[str, object]:
        """Require a way to the host that no other host has."""
        values = super().clean() or self.cleaned_data
        if values.get("is_main"):
            return values
        for field in ("address", "identity_file"):
            if field not in self.errors and not values.get(field):
                self.add_error(field, "This field is required.")
        if not self.errors:
            address, port = str(values["address"]), int(values["port"])
            if problem := _taken(address, port, Host.objects.all()):
                self.add_error("address", problem)
        return values


class HostForm(HostBase):
    """An edit of a host; `seen` is the version that was edited."""

    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    class Meta:
        model = Host
        fields = FIELDS
        labels = LABELS
        help_texts = HINTS | {"host_key": KEY_HINT}
        widgets: ClassVar = {
            "host_key": forms.Textarea(attrs={"rows": 3, "class": "code-input"})
        }

    def clean_host_key(self) -> str:
        """Return the line without its comment; refuse what is no public key."""
        line = str(self.cleaned_data["host_key"]).strip()
        try:
            return host_key_of(line).line if line else ""
        except HostUnreachable as exc:
            raise forms.ValidationError(exc.hint) from exc

    def clean_tunnel_address(self) -> str | None:
        """Return what is stored: an empty address is none."""
        return self.cleaned_data["tunnel_address"] or None

    def clean(self) -> dict[str, object]:
        """Require a way to a host over SSH."""
        values = super().clean() or self.cleaned_data
        if self.instance.to_state().is_remote:
            for field in ("address", "identity_file", "host_key"):
                if field not in self.errors and not values.get(field):
                    self.add_error(field, "This field is required.")
        is_moved = {"address", "port"}.intersection(self.changed_data)
        if self.instance.to_state().is_remote and is_moved and not self.errors:
            others = Host.objects.exclude(pk=self.instance.pk)
            address, port = str(values["address"]), int(values["port"])
            if problem := _taken(address, port, others):
                self.add_error("address", problem)
        return values


def _taken(address: str, port: int, hosts: QuerySet[Host]) -> str:
    """Return why a host cannot be at a place: main or another one is there."""
    if _is_loopback(address):
        return "This address is main itself."
    there = hosts.filter(address__iexact=address)
    found = there.filter(Q(is_main=True) | Q(port=port)).first()
    return f"{found.name} has this address and port." if found else ""


def _usual_key() -> str:
    """Return the key of the newest host: mostly all hosts have the same."""
    keys = Host.objects.exclude(identity_file="").order_by("-pk")
    return keys.values_list("identity_file", flat=True).first() or DEFAULT_KEY


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address.lower().rstrip(".") == "localhost"
