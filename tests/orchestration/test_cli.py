"""The command line: what it prints, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestration.cli import main
from orchestration.plan.model import Stage
from tests.golden import DATA

EXAMPLES = Path(__file__).parents[2] / "examples"
BAD = DATA / "testbeds" / "bad"
HOSTS = DATA / "hosts" / "two-hosts.json"
NAMES = sorted(file.parent.name for file in EXAMPLES.glob("*/kvm-compose.yaml"))
BUILT = ("quickstart", "single", "two-bridges", "ubuntu")
STAGES = [
    "Check artefacts",
    "Check hosts",
    "Prepare hosts",
    "Network",
    "Distribute",
    "Start guests",
    "Set up guests",
]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def images(tmp_path: Path) -> str:
    image = {"name": "test_guest", "path": "test_guest.qcow2", "sha256": "ab" * 32}
    (tmp_path / "test_guest.json").write_text(json.dumps(image))
    return str(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_example_passes_without_a_finding(
    name: str, images: str, capsys: Captured
) -> None:
    file = EXAMPLES / name / "kvm-compose.yaml"

    assert main(["check", str(file), "--images", images, "--testbed", name]) == 0

    assert capsys.readouterr().out == ""


def test_example_is_checked_and_planned_before_its_image_is_built(
    tmp_path: Path, capsys: Captured
) -> None:
    file = str(EXAMPLES / "quickstart" / "kvm-compose.yaml")
    hosts = tmp_path / "hosts.json"
    hosts.write_text('[{"name": "main", "is_main": true}, {"name": "host2"}]')

    assert main(["check", file]) == 0
    assert main(["plan", file, "--hosts", str(hosts)]) == 0

    assert "br0/br1 on host2" in capsys.readouterr().out


def test_every_example_is_tested_and_explained() -> None:
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}

    assert folders == set(NAMES)
    assert len(folders) >= 8
    assert all((EXAMPLES / name / "README.md").is_file() for name in folders)


def test_examples_scripts_are_valid_shell() -> None:
    scripts = sorted(EXAMPLES.glob("*/scripts/*.sh"))

    assert scripts
    for script in scripts:
        shell = script.read_text().splitlines()[0].removeprefix("#!")
        subprocess.run([shell, "-n", str(script)], check=True)


def test_findings_are_printed_like_a_compilers(capsys: Captured) -> None:
    file = BAD / "no-external-bridge.yaml"

    assert main(["check", str(file)]) == 1

    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"{file}:6:3 error network.external_bridge: `external_bridge` is missing: "
        "guests get their addresses through it. (Add `external_bridge: br0`.)"
    )


def test_json_lists_severity_place_message_and_hint(capsys: Captured) -> None:
    assert main(["check", str(BAD / "list.yaml"), "--json"]) == 1

    assert json.loads(capsys.readouterr().out) == [
        {
            "severity": "error",
            "line": 1,
            "column": 1,
            "path": "",
            "message": "The file must be a map with `machines` and `network`, "
            "it is a list.",
            "hint": "Start it with `machines:` at the beginning of a line.",
        }
    ]


def test_warnings_alone_end_with_zero(capsys: Captured) -> None:
    assert main(["check", str(BAD / "nothing.yaml"), "--json"]) == 0

    assert [f["severity"] for f in json.loads(capsys.readouterr().out)] == ["warning"]


def test_missing_file_is_wrong_use(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(tmp_path / "nowhere.yaml")]) == 2

    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["check"], ["chekc", "x"], ["plan", "x"], ["check", "x", "--no"]]
)
def test_wrong_arguments_end_with_two(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_broken_image_list_is_said_in_words(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "broken.json").write_text("{")

    code = main(["check", str(BAD / "list.yaml"), "--images", str(tmp_path)])

    assert code == 1
    assert "broken.json cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("name", BUILT)
def test_example_has_a_plan_with_its_guests(
    name: str, images: str, capsys: Captured
) -> None:
    file = EXAMPLES / name / "kvm-compose.yaml"
    guests = {
        machine["name"] for machine in yaml.safe_load(file.read_text())["machines"]
    }

    code = main(["plan", str(file), "--hosts", str(HOSTS), "--images", images])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0] == "up"
    assert [line for line in lines if line in STAGES] == STAGES
    assert guests <= {line.split()[-1] for line in lines if line.startswith("   ")}


def test_plan_of_clones_has_the_stages_of_clones(images: str, capsys: Captured) -> None:
    file = EXAMPLES / "clones" / "kvm-compose.yaml"

    code = main(["plan", str(file), "--hosts", str(HOSTS), "--images", images])

    lines = capsys.readouterr().out.splitlines()
    words = set(map(str, Stage))
    stages = [line for line in lines if line in words]
    assert code == 0
    assert stages[4:8] == [
        Stage.NETWORK,
        Stage.GOLDEN_IMAGES,
        Stage.LINKED_CLONES,
        Stage.START_GUESTS,
    ]
    assert {f"worker-{n}" for n in range(3)} <= {
        line.split()[-1] for line in lines if line
    }


def test_plan_puts_guests_on_both_hosts(images: str, capsys: Captured) -> None:
    file = EXAMPLES / "quickstart" / "kvm-compose.yaml"

    main(["plan", str(file), "--hosts", str(HOSTS), "--images", images, "--json"])

    plan = json.loads(capsys.readouterr().out)
    start = next(i for i in plan["instructions"] if i["stage"] == "Start guests")
    hosts = {resource["name"]: resource["host"] for resource in start["resources"]}
    assert hosts == {"web": "main", "client": "host2", "sensor": "host2"}


def test_plan_of_a_wrong_yaml_prints_its_findings(capsys: Captured) -> None:
    code = main(["plan", str(BAD / "list.yaml"), "--hosts", str(HOSTS)])

    captured = capsys.readouterr()
    assert code == 1
    assert captured.out == ""
    assert "list.yaml:1:1 error" in captured.err
    assert "list.yaml has 1 error." in captured.err


@pytest.mark.parametrize(
    "hosts", ["{", "[3]", '[{"name": "a", "colour": "blue"}]', '{"name": "a"}']
)
def test_unusable_hosts_are_wrong_use(
    hosts: str, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "hosts.json"
    file.write_text(hosts)

    with pytest.raises(SystemExit) as ended:
        main(["plan", str(BAD / "nothing.yaml"), "--hosts", str(file)])

    assert ended.value.code == 2
    assert "hosts.json cannot be used" in capsys.readouterr().err


def test_plan_without_a_main_host_fails(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "hosts.json"
    file.write_text('[{"name": "a"}]')

    code = main(["plan", str(BAD / "nothing.yaml"), "--hosts", str(file)])

    assert code == 1
    assert "main" in capsys.readouterr().err


def test_check_works_without_the_web() -> None:
    code = (
        "import sys\n"
        "from orchestration.cli import main\n"
        f"assert main(['check', {str(BAD / 'nothing.yaml')!r}]) == 0\n"
        "web = {'django', 'channels', 'celery', 'redis', 'testbed'}\n"
        "assert not web & set(sys.modules), web & set(sys.modules)\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_schema_is_printed_as_json(capsys: Captured) -> None:
    assert main(["schema"]) == 0

    assert "machines" in json.loads(capsys.readouterr().out)["properties"]


def test_plan_of_what_is_not_built_names_the_guests(
    tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "kvm-compose.yaml"
    file.write_text("machines: [{name: box, docker: {image: nginx}}]\n")

    assert main(["check", str(file)]) == 0
    assert main(["plan", str(file), "--hosts", str(HOSTS)]) == 1

    assert "cannot bring up guest box (`docker`)." in capsys.readouterr().err


def test_disk_in_an_allowed_folder_is_accepted(
    tmp_path: Path, capsys: Captured
) -> None:
    file, disk = tmp_path / "kvm-compose.yaml", tmp_path / "disks" / "old.qcow2"
    disk.parent.mkdir()
    disk.write_bytes(b"QFI\xfb")
    file.write_text(
        "machines: [{name: old, libvirt: {cpus: 1, memory_mb: 64, libvirt_type: "
        f"{{existing_disk: {{path: {disk}}}}}}}}}]\n"
    )

    assert main(["check", str(file), "--disks", str(disk.parent)]) == 0
    assert main(["check", str(file)]) == 1

    assert "is an absolute path" in capsys.readouterr().out


def test_state_that_is_not_there_is_said_in_words(capsys: Captured) -> None:
    file = str(BAD / "list.yaml")

    with pytest.raises(SystemExit):
        main(["plan", file, "--hosts", str(HOSTS), "--state", "nowhere.json"])

    said = capsys.readouterr().err
    assert "argument --state: nowhere.json: No such file or directory" in said
    assert "Errno" not in said
