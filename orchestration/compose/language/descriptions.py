"""The sentences about keys: the docstrings below the fields of the models.

Read from the source when the reference or the JSON schema is made. pydantic would read
them at each import, which took a fifth of the time in which a command starts.
"""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


@cache
def descriptions(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the sentence of each field that has one, inherited ones, too."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if kind is not BaseModel and issubclass(kind, BaseModel):
            found |= _below_fields(kind)
    return found


def _below_fields(kind: type[BaseModel]) -> dict[str, str]:
    (source,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(source, ast.ClassDef)  # nosec B101  # noqa: S101 - of a class
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(source.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
