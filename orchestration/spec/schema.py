"""The kvm-compose language as frozen models, one to one with docs/yaml.md.

The loader validates the YAML against these models section by section; the state
builder reads the finished `Spec`. Models hold types and normal forms only (names and
MACs in lower case, `ip: dynamic` as no address); every rule about values, and every
rule across entries, is in `checks.py`, so that one mistake does not hide the next.
Keys of the language that are recognised but not built yet are in `language.py`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
)


def _pairs(value: object) -> object:
    """Turn the YAML map of connections into pairs, in the order of the text."""
    return tuple(value.items()) if isinstance(value, dict) else value


def _no_address(value: str | None) -> str | None:
    return None if value == "dynamic" else value


LowerCase = Annotated[str, AfterValidator(str.lower)]


class Entry(BaseModel):
    """Common settings: immutable, built from YAML or by field name.

    Unknown keys are ignored here; the loader reports them as warnings.
    """

    model_config = ConfigDict(frozen=True, validate_by_name=True, extra="ignore")


class Interface(Entry):
    """One network card of a guest, plugged into a bridge."""

    bridge: str
    mac: LowerCase | None = None
    ip: Annotated[str | None, AfterValidator(_no_address)] = None
    gateway: str | None = None


class CloudImage(Entry):
    """A disk that starts as a copy of an image of the catalogue."""

    name: str
    expand_gigabytes: StrictInt = 0
    setup_script: str | None = None
    run_script: str | None = None
    context: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class Libvirt(Entry):
    """A virtual machine."""

    cpus: StrictInt
    memory_mb: StrictInt
    libvirt_type: CloudImage = Field(
        validation_alias=AliasPath("libvirt_type", "cloud_image")
    )


class Machine(Entry):
    """One guest that the user asked for."""

    name: LowerCase
    interfaces: tuple[Interface, ...] = ()
    libvirt: Libvirt


class Bridge(Entry):
    """One bridge of the testbed; it may be stretched over several hosts."""

    name: str
    protocol: str | None = None
    controller: str | None = None


class Network(Entry):
    """The bridges, which of them are connected, and which one leads outside."""

    bridges: tuple[Bridge, ...] = ()
    bridge_connections: Annotated[
        tuple[tuple[str, str], ...], BeforeValidator(_pairs)
    ] = ()
    external_bridge: str | None = None


class LoadBalancing(StrEnum):
    """How guests are spread over the testbed hosts."""

    NAIVE_ROUND_ROBIN = "NaiveRoundRobin"


class TestbedOptions(Entry):
    """Settings of the whole testbed."""

    __test__ = False  # pytest: the name starts with Test

    load_balancing: LoadBalancing = LoadBalancing.NAIVE_ROUND_ROBIN
    management_network: StrictBool = True


class Spec(Entry):
    """Everything that one kvm-compose.yaml says."""

    machines: tuple[Machine, ...] = ()
    network: Network = Field(default_factory=Network)
    testbed_options: TestbedOptions = Field(default_factory=TestbedOptions)
