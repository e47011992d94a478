"""Seeds: the medium on which a guest finds its files, and the archive of its context.

The same files are the same seed wherever and whenever it is made, and nothing outside
the testbed's folder gets into one.
"""

import grp
import io
import os

import pycdlib
import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.guest import cloud_init, seed


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


def test_seed_is_readable_by_qemus_group_and_no_other(tmp_path, monkeypatch):
    mine = grp.getgrgid(os.getegid())
    monkeypatch.setattr(seed.grp, "getgrnam", {"qemu": mine}.__getitem__)

    seed.write_seed(tmp_path / "shared.iso", {"meta-data": b"x"})
    monkeypatch.setattr(seed.grp, "getgrnam", {}.__getitem__)
    seed.write_seed(tmp_path / "own.iso", {"meta-data": b"x"})

    modes = [(tmp_path / name).stat().st_mode for name in ("shared.iso", "own.iso")]
    assert [mode & 0o777 for mode in modes] == [0o640, 0o600]


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
