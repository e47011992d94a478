"""The forms of hosts: what an admin types, with an error at each wrong field."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar

from django import forms

from testbed.models import Host, NewHost

if TYPE_CHECKING:  # takes a type argument in its stubs only
    NewHostBase = forms.ModelForm[NewHost]
else:
    NewHostBase = forms.ModelForm

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
}
HINTS = {
    "name": "Letters, digits, hyphens and underscores; shown everywhere.",
    "address": "An IP address or a DNS name. For main, the one that other hosts reach.",
    "user": "root, or an account with sudo and libvirt.",
    "identity_file": "A path, readable by the worker; the key has no passphrase.",
    "tunnel_address": "Where tunnels end; empty: the address.",
}


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
            self._require_own_place(str(values["address"]), int(values["port"]))
        return values

    def _require_own_place(self, address: str, port: int) -> None:
        places = {"address__iexact": address, "port": port}
        other = Host.objects.filter(**places, is_main=False).first()
        main = Host.objects.filter(is_main=True, address__iexact=address).first()
        if _is_loopback(address):
            self.add_error("address", "This address is main itself.")
        elif found := other or main:
            self.add_error("address", f"{found.name} has this address and port.")


def _usual_key() -> str:
    """Return the key of the newest host: mostly all hosts have the same."""
    keys = Host.objects.exclude(identity_file="").order_by("-pk")
    return keys.values_list("identity_file", flat=True).first() or DEFAULT_KEY


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address.lower().rstrip(".") == "localhost"
