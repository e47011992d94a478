"""The text of a snapshot: our label beside the user's words, and files that go on."""

import pytest

from orchestration.plan.snapshots import MOST_DESCRIPTION
from orchestration.providers.libvirt.snapshots import text
from orchestration.providers.libvirt.snapshots.text import Label

MARKS = {"script": "abc", "script_exit_code": 0}
# As libvirt 9.0 prints one of a running guest, shortened.
INTERNAL = """\
<domainsnapshot>
  <name>base</name>
  <description>{description}</description>
  <state>running</state>
  <parent><name>first</name></parent>
  <creationTime>1795808478</creationTime>
  <memory snapshot='internal'/>
  <disks><disk name='vda' snapshot='internal'/><disk name='vdb' snapshot='no'/></disks>
  <domain type='qemu'>
    <metadata>
      <t:owner xmlns:t="urn:testbed:orchestration:1" testbed="lab" guest="a" spec="s1"/>
    </metadata>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/><source file='/lab/a.qcow2'/>
      </disk>
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/><source file='/lab/a.iso'/><readonly/>
      </disk>
      <interface type='bridge'><source bridge='t7b0'/></interface>
      <interface type='network'><source network='t7-mgmt' bridge='t7m'/></interface>
      <serial type='pty'><log file='/lab/a.log' append='off'/></serial>
      <console type='pty'><log file='/lab/a.log' append='off'/></console>
      <channel type='file'><source path='/lab/a.key' append='off'/></channel>
    </devices>
  </domain>
  <inactiveDomain type='qemu'>
    <devices><serial type='pty'><log file='/lab/a.log' append='off'/></serial></devices>
  </inactiveDomain>
</domainsnapshot>
"""


def described(words: str, label: Label) -> str:
    """Return the description that a new snapshot gets."""
    built = text.build("base", words, label)
    return built.partition("<description>")[2].partition("</description>")[0]


@pytest.mark.parametrize("words", ["", "before the attack", "[testbed] is a word"])
def test_label_is_beside_the_words_of_the_user(words: str) -> None:
    label = Label("ann", marks=MARKS, group=6, frozen=True)

    found = text.read(INTERNAL.format(description=described(words, label)))

    assert (found.description, found.label) == (words, label)
    assert not found.is_outside


@pytest.mark.parametrize(
    "words",
    [
        "",
        "by hand",
        "[testbed] no record",
        "[testbed] [1]",
        "a\n[testbed] {",
        '[testbed] {"by": "ann", "marks": {"script": [1]}}',
        '[testbed] {"by": "an\\u0000n"}',
        '[testbed] {"by": "an\\ud800n"}',
        '[testbed] {"by": "ann", "marks": ' + "[" * 100_000,
    ],
)
def test_snapshot_without_a_label_was_made_outside(words: str) -> None:
    found = text.read(INTERNAL.format(description=words))

    assert found.is_outside
    assert found.description.removesuffix(" … (cut)") == words[:MOST_DESCRIPTION]
    assert found.title == "base"


def test_facts_are_those_of_the_guest_of_then() -> None:
    found = text.read(INTERNAL.format(description=""))

    assert (found.parent, found.status, found.created_at) == (
        "first",
        "running",
        1795808478,
    )
    assert found.has_memory
    assert not found.is_external
    assert found.disks == ("/lab/a.qcow2",)
    assert found.networks == ("t7b0", "t7-mgmt")
    assert found.spec_hash == "s1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<memory snapshot='internal'/>", "<memory snapshot='external' file='/m'/>"),
        ("name='vda' snapshot='internal'", "name='vda' snapshot='external'"),
    ],
)
def test_snapshot_with_files_of_its_own_is_external(old: str, new: str) -> None:
    external = INTERNAL.format(description="").replace(old, new)

    assert text.read(external).is_external


def test_snapshot_of_a_guest_that_was_off_has_no_memory() -> None:
    off = INTERNAL.format(description="").replace("running", "shutoff")
    off = off.replace("memory snapshot='internal'", "memory snapshot='no'")

    found = text.read(off)

    assert (found.status, found.has_memory) == ("shut off", False)


def test_other_title_keeps_the_name_and_the_rest_of_the_label() -> None:
    own = INTERNAL.format(description=described("words", Label("ann", marks=MARKS)))

    found = text.read(text.relabelled(own, "After set-up"))

    assert (found.name, found.title) == ("base", "After set-up")
    assert found.label == Label("ann", "After set-up", MARKS)
    assert found.description == "words"


def test_snapshot_from_outside_stays_one_under_another_title() -> None:
    found = text.read(text.relabelled(INTERNAL.format(description="mine"), "Other"))

    assert (found.title, found.description) == ("Other", "mine")
    assert found.is_outside


def test_files_go_on_in_the_restored_process_alone() -> None:
    kept = text.keeping_logs(INTERNAL.format(description=""))

    restored, _, later = kept.partition("<inactiveDomain")
    assert restored.count('append="on"') == 3
    assert 'append="off"' not in restored
    assert 'append="off"' in later


def test_long_description_of_another_program_is_cut_and_says_so():
    found = text.read(INTERNAL.format(description="x" * 9_000_000))

    assert found.description == "x" * MOST_DESCRIPTION + " … (cut)"
    assert text.read(
        text.build("a", "y" * MOST_DESCRIPTION, Label("ann"))
    ).description == ("y" * MOST_DESCRIPTION)
