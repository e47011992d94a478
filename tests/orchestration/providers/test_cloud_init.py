"""What cloud-init and the small test guest read: valid, complete, safe."""

import io
import json
import subprocess
import tarfile

import pycdlib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.errors import ImageFailed, PathOutside
from orchestration.providers import cloud_init
from orchestration.state.images import ImageState
from orchestration.state.model import (
    GuestState,
    InterfaceState,
    ManagementInterface,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def interface(name, **changes):
    values = {"name": name, "bridge": "br0", "device": "d1br0", "tap": f"t{name}"}
    values |= {"mac": "52:54:00:AB:CD:01", "mtu": 1442, "dhcp": False}
    return InterfaceState(**(values | changes))


def guest(*interfaces, **changes):
    values = {
        "name": "web",
        "index": 0,
        "host": "host-a",
        "domain": "demo-web",
        "uuid": "9b5a0e0a-6d0c-5a63-8f3c-111111111111",
        "user": "nocloud",
        "cpus": 1,
        "memory_mib": 256,
        "expand_gib": 0,
        "image": ImageState(
            name="i", sha256="", format="qcow2", path="/i", main_path="/i"
        ),
        "artefacts_dir": "/a",
        "disk": "/a/d",
        "seed": "/a/s",
        "xml": "/a/x",
        "console": "/a/c",
        "interfaces": interfaces,
        "management": None,
        "environment": {},
        "spec_hash": "h",
    }
    return GuestState(**(values | changes))


def user_data(state):
    text = cloud_init.build_user_data(
        state,
        public_key="ssh-ed25519 AAAA demo\n",
        host_key_private=b"-----BEGIN\nx\n-----END\n",
        host_key_public="ssh-ed25519 BBBB demo-web\n",
    )
    first, _, rest = text.decode().partition("\n")
    assert first == "#cloud-config"
    assert yaml.safe_load(text) == json.loads(rest)
    return json.loads(rest)


def network(state):
    return json.loads(cloud_init.build_network_config(state))["ethernets"]


def written(state, name):
    files = {entry["path"]: entry for entry in user_data(state)["write_files"]}
    return files[f"/etc/nocloud/{name}"]


def test_user_gets_the_key_and_sudo_but_no_password():
    data = user_data(guest())

    assert data["hostname"] == "demo-web"
    assert data["users"] == [
        {
            "name": "nocloud",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": True,
            "ssh_authorized_keys": ["ssh-ed25519 AAAA demo"],
        }
    ]
    assert data["ssh_keys"] == {
        "ed25519_private": "-----BEGIN\nx\n-----END\n",
        "ed25519_public": "ssh-ed25519 BBBB demo-web",
    }


def test_password_reaches_the_account_as_a_hash_and_not_ssh():
    data = user_data(guest(password_hash="$6$salt$hash"))

    (user,) = data["users"]
    assert (user["lock_passwd"], user["hashed_passwd"]) == (False, "$6$salt$hash")
    assert data["ssh_pwauth"] is False


def test_changed_configuration_is_a_new_instance():
    def instance(state):
        return json.loads(cloud_init.build_meta_data(state))["instance-id"]

    plain = instance(guest())

    assert plain.startswith("demo-web-")
    assert instance(guest()) == plain
    assert instance(guest(environment={"A": "1"})) != plain
    assert instance(guest(memory_mib=512)) == plain


@pytest.mark.parametrize("key", ["GREETING", "with-dash", "a b", "*", "$(id)"])
@pytest.mark.parametrize(
    "value", ["plain", "it's", '$(id) `id` \\ "x" *', "two\nlines", "é 🐧", "-n", ""]
)
def test_env_sh_prints_any_value_of_any_key(key, value, tmp_path):
    script = tmp_path / "env.sh"
    state = guest(environment={key: value, "OTHER": "no"})
    script.write_text(written(state, "env.sh")["content"])

    said = subprocess.run(
        ["/bin/sh", script, key], capture_output=True, text=True, check=True
    )
    unknown = subprocess.run(["/bin/sh", script, "NONE"], capture_output=True)

    assert said.stdout == f"{value}\n"
    assert unknown.returncode == 1
    assert written(state, "env.sh")["permissions"] == "0755"


def test_environment_can_be_sourced():
    state = guest(environment={"A": "it's; echo bad", "not-a-name": "x"})
    lines = written(state, "environment")["content"]

    said = subprocess.run(
        ["/bin/sh", "-c", f'{lines}printf %s "$A"'], capture_output=True, text=True
    )

    assert said.stdout == "it's; echo bad"
    assert "not-a-name" not in lines


@given(st.dictionaries(TEXT, TEXT, max_size=3))
def test_user_data_means_the_same_as_yaml_and_as_json(environment):
    user_data(guest(environment=environment))


def test_ready_mark_comes_last_and_context_before_it():
    plain, packed = user_data(guest()), user_data(guest(context="files"))

    instance = json.loads(cloud_init.build_meta_data(guest()))["instance-id"]
    assert plain["runcmd"] == [f"echo {instance} > {cloud_init.READY_FILE}"]
    assert packed["runcmd"][-1].endswith(f" > {cloud_init.READY_FILE}")
    assert packed["runcmd"][0] == "sh /etc/nocloud/unpack-context.sh"
    assert "LABEL=cidata" in written(guest(context="f"), "unpack-context.sh")["content"]


@pytest.mark.parametrize(
    ("content", "is_ready"),
    [(None, False), ("", True), ("demo-a-1\n", True), ("demo-b-1\n", False)],
)
def test_only_the_mark_of_the_same_instance_counts(tmp_path, content, is_ready):
    mark = tmp_path / "ready"
    if content is not None:
        mark.write_text(content)
    test = cloud_init.READY_TEST.replace(cloud_init.READY_FILE, str(mark))

    done = subprocess.run(["/bin/sh", "-c", test, "ready", "demo-a-1"])

    assert (done.returncode == 0) is is_ready


def test_clone_gets_the_machine_id_that_its_golden_image_left_empty(tmp_path):
    clone, plain = guest(golden="node"), guest()
    file = tmp_path / "machine-id"

    fill = user_data(clone)["runcmd"][0].replace("/etc/machine-id", str(file))
    subprocess.run(["/bin/sh", "-c", fill], check=True)

    assert file.read_text() == f"{clone.uuid.replace('-', '')}\n"
    assert len(user_data(plain)["runcmd"]) == 1
    file.write_text("of its own\n")
    subprocess.run(["/bin/sh", "-c", fill], check=True)
    assert file.read_text() == "of its own\n"


def test_static_interface_has_address_and_the_one_default_route():
    first = interface("e0", address="10.1.0.5", prefix=16, gateway="10.1.0.1")
    second = interface("e1", address="10.2.0.5", prefix=24, gateway="10.2.0.1")

    nets = network(guest(first, second))

    assert nets["e0"] == {
        "match": {"macaddress": "52:54:00:ab:cd:01"},
        "set-name": "e0",
        "dhcp4": False,
        "dhcp6": False,
        "mtu": 1442,
        "addresses": ["10.1.0.5/16"],
        "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}],
    }
    assert nets["e1"]["addresses"] == ["10.2.0.5/24"]
    assert "routes" not in nets["e1"]


def test_only_one_interface_takes_its_route_from_dhcp():
    nets = network(
        guest(
            interface("e0", dhcp=True, address="10.0.0.9", prefix=24),
            interface("e1", dhcp=True),
        )
    )

    assert "dhcp4-overrides" not in nets["e0"]
    assert nets["e1"]["dhcp4-overrides"] == {"use-routes": False}
    assert nets["e0"]["dhcp-identifier"] == "mac"
    assert "addresses" not in nets["e0"]
    assert ("optional" in nets["e0"], nets["e1"]["optional"]) == (False, True)


def test_gateway_beats_dhcp():
    nets = network(
        guest(
            interface("e0", dhcp=True),
            interface("e1", address="fd00::5", prefix=64, gateway="fd00::1"),
        )
    )

    assert nets["e0"]["dhcp4-overrides"] == {"use-routes": False}
    assert nets["e1"]["routes"] == [{"to": "::/0", "via": "fd00::1"}]


def test_management_is_static_without_gateway():
    management = ManagementInterface(
        name="mgmt0",
        network="demo-mgmt",
        tap="m0",
        mac="52:54:00:00:00:FF",
        address="172.20.0.9",
        prefix=24,
    )

    nets = network(guest(management=management))

    assert nets == {
        "mgmt0": {
            "match": {"macaddress": "52:54:00:00:00:ff"},
            "set-name": "mgmt0",
            "dhcp4": False,
            "dhcp6": False,
            "addresses": ["172.20.0.9/24"],
        }
    }


def test_seed_is_labelled_and_holds_the_files(tmp_path):
    (tmp_path / "big").write_bytes(b"tar" * 5000)
    files = {"meta-data": b"{}", "user-data": b"#cloud-config\n{}"}
    target = tmp_path / "seed.iso"

    cloud_init.write_seed(target, files | {"context.tar": tmp_path / "big"})

    iso = pycdlib.PyCdlib()
    iso.open(str(target))
    label = iso.pvd.volume_identifier.decode().strip()
    found = {}
    for name in ("meta-data", "user-data", "context.tar"):
        by_rock_ridge, by_joliet = io.BytesIO(), io.BytesIO()
        iso.get_file_from_iso_fp(by_rock_ridge, rr_path=f"/{name}")
        iso.get_file_from_iso_fp(by_joliet, joliet_path=f"/{name}")
        assert by_rock_ridge.getvalue() == by_joliet.getvalue()
        found[name] = by_joliet.getvalue()
    iso.close()
    assert label == "cidata"
    assert found == files | {"context.tar": b"tar" * 5000}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "seed.iso"]


def test_seed_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ImageFailed, match=r"seed\.iso could not be written"):
        cloud_init.write_seed(tmp_path / "none" / "seed.iso", {"meta-data": b""})
    with pytest.raises(ImageFailed):
        cloud_init.write_seed(tmp_path / "seed.iso", {"x": tmp_path / "missing"})
    assert list(tmp_path.iterdir()) == []


def test_seed_digest_knows_names_and_contents(tmp_path):
    (tmp_path / "f").write_bytes(b"1")

    digests = {
        cloud_init.seed_digest(files)
        for files in ({"a": b"1"}, {"b": b"1"}, {"a": b"2"}, {"a": b"1", "b": b""})
    }

    assert len(digests) == 4
    assert cloud_init.seed_digest({"a": tmp_path / "f"}) in digests


def test_context_is_the_same_archive_wherever_and_whenever(tmp_path):
    for root in (tmp_path / "one", tmp_path / "two"):
        (root / "files" / "sub").mkdir(parents=True)
        (root / "files" / "sub" / "run.sh").write_text("#!/bin/sh\n")
        (root / "files" / "sub" / "run.sh").chmod(0o775)
        (root / "files" / "a").write_text("a")
        (root / "files" / "link").symlink_to("/etc/shadow")
        (root / "files" / "up").symlink_to("sub")

    one, two = (
        cloud_init.context_archive(tmp_path / name / "files", tmp_path / name)
        for name in ("one", "two")
    )

    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["a", "link", "sub", "sub/run.sh", "up"]
    assert members["sub/run.sh"].mode == 0o755
    assert (members["link"].issym(), members["up"].issym()) == (True, True)
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 946684800)}


def test_context_may_be_one_file(tmp_path):
    (tmp_path / "only.txt").write_text("x")

    packed = cloud_init.context_archive(tmp_path / "only.txt", tmp_path)

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.extractfile("only.txt").read() == b"x"


def test_context_does_not_leave_its_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "sneaky").symlink_to(tmp_path / "secret")

    for source in (root / "sneaky", root / ".." / "secret", tmp_path):
        with pytest.raises(PathOutside):
            cloud_init.context_archive(source, root)
