"""Forms of the web: turn typed or uploaded input into clean values.

A form reports an error at its field and keeps the input. `uploads` turns files and
archives into relative paths and bytes; nothing is written here.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import RegexValidator
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from pydantic import BaseModel, ValidationError

from orchestration.errors import ExecutionRefused, Finding, TestbedError
from orchestration.project.folder import YAML_NAME
from testbed.access.names import (
    NAME,
    NAME_LENGTH,
    NAME_WORDS,
    BadName,
    NameTaken,
    require_name,
)
from testbed.models import Testbed
from testbed.testbeds.archive_reader import is_clutter
from testbed.testbeds.findings import findings_of_upload
from testbed.testbeds.uploads import (
    ARCHIVE_ENDINGS,
    MAX_BYTES,
    MAX_FILES,
    UploadRefused,
    as_testbed,
    read_archive,
)

if TYPE_CHECKING:  # takes a type argument in its stubs only
    Upload = UploadedFile[bytes]
else:
    Upload = UploadedFile
NAME_RULE = RegexValidator(rf"^{NAME.pattern}\Z", NAME_WORDS)
Model = TypeVar("Model", bound=BaseModel)


def read_json(request: HttpRequest, model: type[Model], thing: str) -> Model:
    """Read a program's body; `thing` names it in errors. Raises: ExecutionRefused."""
    try:
        return model.model_validate(json.loads(request.body))
    except (ValueError, RecursionError, ValidationError) as exc:
        raise ExecutionRefused(
            f"The body is not the JSON of {thing}.", hint="See docs/protocol.md."
        ) from exc


class ManyFiles(forms.ClearableFileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several uploads as one list; empty when none was chosen."""

    widget = ManyFiles

    def clean(self, data: list[Upload] | None, initial: None = None) -> list[Upload]:
        """Return all uploads, bounded in size before they are read."""
        uploads = [upload for upload in data or [] if upload]
        if len(uploads) > MAX_FILES:
            raise forms.ValidationError(
                f"These are {len(uploads)} files; send at most {MAX_FILES}."
            )
        if sum(upload.size or 0 for upload in uploads) > MAX_BYTES:
            raise forms.ValidationError(
                f"This is more than {MAX_BYTES // 1024**2} MiB."
            )
        return uploads


class NameForm(forms.Form):
    """A name for a testbed of a user; `but` is the testbed, if there is one already."""

    slug = forms.CharField(
        label="Name",
        max_length=NAME_LENGTH,
        validators=[NAME_RULE],
        error_messages={"required": "Give the testbed a name."},
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, Upload] | None = None,
        *,
        user: User,
        but: Testbed | None = None,
    ) -> None:
        super().__init__(data, files)
        self.user, self._but = user, but

    def name(self) -> str:
        """Return the name. Raises: UploadRefused."""
        if not self.is_valid():
            sentence = str(self.errors["slug"][0])
            raise UploadRefused(sentence, hint="Choose another name.")
        return str(self.cleaned_data["slug"])

    def clean_slug(self) -> str:
        """Refuse a name that another testbed of the same account has."""
        slug = str(self.cleaned_data["slug"])
        try:
            require_name(self.user, slug, but=self._but)
        except BadName as exc:
            raise forms.ValidationError(exc.message) from exc
        except NameTaken as exc:
            raise forms.ValidationError(exc.sentence) from exc
        return slug


class UploadForm(forms.Form):
    """Files that were chosen one by one, as a folder or as one archive.

    `folder_paths` is a JSON list that a script fills: browsers send a folder's files
    without their paths.
    """

    uploads = ManyFilesField(label="Files", required=False)
    folder = ManyFilesField(label="Folder", required=False)
    folder_paths = forms.CharField(required=False, widget=forms.HiddenInput)
    archive = forms.FileField(label="Archive", required=False)

    def clean_archive(self) -> Upload | None:
        """Refuse a file that is no archive by its name or is too large to read."""
        archive: Upload | None = self.cleaned_data["archive"]
        if archive and not str(archive.name).lower().endswith(tuple(ARCHIVE_ENDINGS)):
            raise forms.ValidationError(f"Use one of {', '.join(ARCHIVE_ENDINGS)}.")
        if archive and (archive.size or 0) > MAX_BYTES:
            raise forms.ValidationError(
                f"This is more than {MAX_BYTES // 1024**2} MiB."
            )
        return archive

    def read_files(self) -> dict[str, bytes]:
        """Return everything that was uploaded, by path. Raises: TestbedError."""
        files: dict[str, bytes] = {}
        archive = self.cleaned_data.get("archive")
        if archive and self.cleaned_data.get("folder"):
            raise UploadRefused(
                "A folder and an archive were chosen.", hint="Choose one of them."
            )
        if archive:
            files |= read_archive(str(archive.name), archive.read())
        folder = self.cleaned_data.get("folder") or []
        for upload, path in zip(folder, self._folder_paths(folder), strict=True):
            if not is_clutter(path):
                files[path] = upload.read()
        for upload in self.cleaned_data.get("uploads") or []:
            files[str(upload.name)] = upload.read()
        return files

    def _folder_paths(self, folder: list[Upload]) -> list[str]:
        try:
            paths = json.loads(self.cleaned_data.get("folder_paths") or "[]")
        except (ValueError, RecursionError):  # thousands of brackets nest too deeply
            paths = []
        if not isinstance(paths, list) or len(paths) != len(folder):
            raise UploadRefused(
                "The browser did not send the paths of the folder's files.",
                hint="That needs JavaScript. Upload the folder as an archive instead.",
            )
        return [str(path) for path in paths]


class NewTestbedForm(UploadForm, NameForm):
    """A new testbed: a name, and a YAML that is typed, uploaded or an example.

    After `is_valid()`, `files_to_write` holds the files to write, and `findings` the
    findings of the YAML. They do not prevent the creation: the testbed's page shows
    them.
    """

    yaml = forms.CharField(
        label=YAML_NAME, required=False, strip=False, widget=forms.Textarea
    )

    def __init__(
        self,
        data: MultiValueDict[str, str] | None = None,
        files: MultiValueDict[str, Upload] | None = None,
        *,
        user: User,
        is_example: bool = False,
    ) -> None:
        super().__init__(data, files, user=user)
        self.is_example = is_example
        self.files_to_write: dict[str, bytes] = {}
        self.findings: tuple[Finding, ...] = ()

    def clean(self) -> dict[str, object]:
        """Collect the files and check the YAML."""
        values = super().clean() or self.cleaned_data
        if self.is_example:
            return values
        if self.errors.keys() & {"yaml", "uploads", "folder", "archive"}:
            return values
        try:
            self.files_to_write = self._collect(str(values.get("yaml") or ""))
        except TestbedError as exc:
            self.add_error(self._field_at_fault(), exc.sentence)
            return values
        self.findings = findings_of_upload(self.files_to_write, self.user)
        return values

    def _collect(self, yaml: str) -> dict[str, bytes]:
        files = self.read_files()
        if not yaml.strip() and not files:
            raise UploadRefused("Paste a kvm-compose.yaml, or upload one.")
        if not yaml.strip():
            return as_testbed(files)
        text = yaml.replace("\r\n", "\n").encode()
        return as_testbed({**_without_top(files), YAML_NAME: text})

    def _field_at_fault(self) -> str:
        values = self.cleaned_data
        chosen = (name for name in ("archive", "folder", "uploads") if values.get(name))
        return next(chosen, "yaml")


class EditForm(forms.Form):
    """A text file as it was typed, and the digest of the loaded one.

    After a conflict also the difference to take as saved, and the digest `compared`.
    """

    text = forms.CharField(strip=False, required=False, widget=forms.Textarea)
    seen = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    compared = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    take = forms.IntegerField(required=False, min_value=1)


def _without_top(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out one top folder that holds everything: the YAML is beside it."""
    tops = {path.partition("/")[0] for path in files}
    if len(tops) == 1 and all("/" in path for path in files):
        return {path.partition("/")[2]: content for path, content in files.items()}
    return files
