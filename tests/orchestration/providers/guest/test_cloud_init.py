"""The input of cloud-init and of the small test guest is valid, complete and safe.

User data, environment, and the mark of a ready guest. The network is in
test_network_config.py, the medium and the context in test_seeds.py.
"""

import json
import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestration.providers.guest import cloud_init
from tests.orchestration.providers.guest.cloud_guest import guest

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def user_data_file(state):
    return cloud_init.build_user_data(state, public_key="ssh-ed25519 AAAA demo\n")


def user_data(state):
    _, _, rest = user_data_file(state).decode().partition("\n")
    return json.loads(rest)


def written(state, name):
    files = {entry["path"]: entry for entry in user_data(state)["write_files"]}
    return files[f"/etc/nocloud/{name}"]


def test_user_gets_the_key_and_sudo_but_no_password():
    data = user_data(guest())

    assert data["hostname"] == "demo-web"
    assert data["users"] == [
        {
            "name": "nocloud",
            "groups": ["nocloud"],
            "primary_group": "nocloud",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": True,
            "ssh_authorized_keys": ["ssh-ed25519 AAAA demo"],
        }
    ]


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
    text = user_data_file(guest(environment=environment))

    first, _, rest = text.decode().partition("\n")
    assert first == "#cloud-config"
    assert yaml.safe_load(text) == json.loads(rest)


def test_ready_mark_comes_last_and_context_before_it():
    plain, packed = user_data(guest()), user_data(guest(context="files"))

    instance = json.loads(cloud_init.build_meta_data(guest()))["instance-id"]
    assert plain["runcmd"] == [f"echo {instance} > {cloud_init.READY_FILE}"]
    assert packed["runcmd"][-1].endswith(f" > {cloud_init.READY_FILE}")
    assert packed["runcmd"][0] == "sh /etc/nocloud/unpack-context.sh"
    assert "LABEL=cidata" in written(guest(context="f"), "unpack-context.sh")["content"]


def test_guest_agent_is_installed_before_the_ready_mark_where_it_is_wanted():
    wanted = guest(guest_agent=True)

    assert user_data(wanted)["runcmd"][0] == "sh /etc/nocloud/install-agent.sh"
    assert len(user_data(wanted)["runcmd"]) == 2
    assert "install-agent" not in user_data_file(guest()).decode()
    assert cloud_init.instance_id(wanted) != cloud_init.instance_id(guest())


@pytest.mark.parametrize(
    ("programs", "calls"),
    [
        (
            ("apt-get", "dnf", "systemctl"),
            [
                "apt-get -qq update",
                "apt-get -qq -y install qemu-guest-agent",
                "systemctl start qemu-guest-agent",
            ],
        ),
        (
            ("dnf", "systemctl"),
            [
                "dnf -q -y install qemu-guest-agent",
                "systemctl start qemu-guest-agent",
            ],
        ),
        (
            ("apt-get", "qemu-ga", "systemctl"),
            ["systemctl start qemu-guest-agent"],
        ),
        (("qemu-ga",), []),
    ],
)
def test_script_installs_and_starts_the_guest_agent_once(tmp_path, programs, calls):
    for name in programs:
        (tmp_path / name).write_text('#!/bin/sh\necho "${0##*/} $*"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "timeout").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "timeout").chmod(0o755)
    script = written(guest(guest_agent=True), "install-agent.sh")["content"]

    ran = subprocess.run(
        ["/bin/sh"],
        input=script,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (ran.stdout.splitlines(), ran.stderr) == (calls, "")


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
