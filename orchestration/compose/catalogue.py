"""The image catalogue: the names that `cloud_image` may use, and their sources.

`images.json` beside this file lists the publishers' dated releases, each with its
digest. A match proves that a fetched file is the one that was published when the entry
was written; the publisher's signature is not checked. A file or folder of JSON files
adds images that were built locally (the test guest is one). Reads only those files:
fetching and verifying belongs to the image provider. The checks use the names, the
state builder copies the digest into the state.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from orchestration.errors import ImageFailed

SHIPPED = Path(__file__).with_name("images.json")


class Image(BaseModel):
    """One base image: a `url` to fetch once, or a local `path`.

    `sha256` is the digest of the file as fetched; `sha512` where the publisher gives
    only that. `sums_url` lists the publisher's own sums of the release. `size_bytes` is
    0 when unknown, `user` the account that the seed creates, `boots_s` the time until
    it answers on SSH with KVM (a hint for deadlines, 0: unknown). A guest without
    cloud-init gets no seed, and only runs. One that `is_stored` was made here: its
    `path` is in main's images folder, where it stays under its name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    url: str = ""
    path: str = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    sha512: Annotated[str, Field(pattern=r"^([0-9a-f]{128})?$")] = ""
    sums_url: str = ""
    format: Literal["qcow2", "raw"] = "qcow2"
    size_bytes: Annotated[int, Field(ge=0)] = 0
    user: str = "nocloud"
    boots_s: Annotated[int, Field(ge=0)] = 0
    has_cloud_init: bool = True
    is_stored: bool = False

    @property
    def digest(self) -> str:
        """The strongest known digest in hex, or '' when only `sums_url` has it."""
        return self.sha256 or self.sha512

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.url) == bool(self.path):
            raise ValueError("give either url or path")
        return self


# Built by script/lab/guest-image, and named by the examples before it is.
TEST_GUEST = Image(name="test_guest", path="test_guest.qcow2")


class Catalogue(Mapping[str, Image]):
    """Images by name; a later image replaces an earlier one of the same name."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._images = {image.name: image for image in images}

    def __getitem__(self, name: str) -> Image:
        return self._images[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._images))

    def __len__(self) -> int:
        return len(self._images)

    def nearest(self, name: str) -> str:
        """Return the known name that is most similar to `name`, or ''."""
        wanted = name.lower().replace("-", "_").replace(".", "_")
        found = difflib.get_close_matches(wanted, list(self), n=1, cutoff=0.6)
        return found[0] if found else ""


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """Read the shipped images, and the local ones of a JSON file or a folder of them.

    Relative paths of local images start at their JSON file's folder. A missing folder
    adds nothing. Raises ImageFailed: a file is not readable.
    """
    images = _read(SHIPPED)
    if extra is not None and extra.is_dir():
        for file in sorted(extra.glob("*.json")):
            images += _read(file)
    elif extra is not None and extra.suffix == ".json":
        images += _read(extra)
    return Catalogue(images)


def _read(file: Path) -> list[Image]:
    """Read one image or a list of them."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content if isinstance(content, list) else [content]
        images = TypeAdapter(list[Image]).validate_python(entries)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _broken(file, f"{place}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(file, str(error)) from error
    return [_absolute(image, file.resolve().parent) for image in images]


def _absolute(image: Image, folder: Path) -> Image:
    if not image.path:
        return image
    return image.model_copy(update={"path": str(folder / image.path)})


def _broken(file: Path, reason: str) -> ImageFailed:
    return ImageFailed(
        f"The image list {file} cannot be used.",
        hint="It must be JSON with name, path or url, sha256 and format.",
        detail=reason,
    )
