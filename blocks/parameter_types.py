"""Absolute paths and store names, as parameters and blocks take them.

Nothing relative: a worker runs each flow in a folder that is removed when the run has ended, with
everything in it. Who types a relative folder in a shell means one of the folder that he is in:
``store_from_here``, ``paths_from_here``. Each type has a pattern besides, so that the server
refuses a value before there is a run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from tasks.common.errors import InputError
from tasks.records.tracking import tracking_names

Parameters = TypeVar("Parameters", bound=BaseModel)
LOCAL_BLOCK, S3_BLOCK = "local-artifact-store", "s3-artifact-store"
NO_GENERAL = "none"
"""In the place of a manifest of general English: none is decoded."""
_GENERAL = "general"
_ABSOLUTE = r"^(/|~/)"
_STORE = rf"{_ABSOLUTE}|^s3://[^/]+|^({LOCAL_BLOCK}|{S3_BLOCK})/[^/]+$"
# An address of some kind, or a block of some kind: a slip of the pen, and not a folder's name.
_NO_FOLDER = re.compile(r"[A-Za-z0-9]+:|[^/]+-store/|$")


def absolute(path: Path) -> Path:
    """Check that a path means the same wherever a worker runs; ``~`` is the worker's user.

    Raises:
        ValueError: it is relative.
    """
    if re.match(_ABSOLUTE, str(path)) is None:
        raise ValueError(
            f"{str(path)!r} is relative, and a worker removes the folder that it runs in. "
            "Fix: begin with /"
        )
    return path.expanduser()


def store(name: str) -> str:
    """Check the name of a store, of one of the four kinds.

    Raises:
        ValueError: it is none of them.
    """
    if re.match(_STORE, name) is None:
        raise ValueError(
            f"{name!r} names no store. Fix: {S3_BLOCK}/NAME or {LOCAL_BLOCK}/NAME (a saved block), "
            "s3://bucket/prefix, or a folder that begins with /"
        )
    return name


def store_from_here(name: str) -> str:
    """Resolve a store's name typed in a shell; a folder may be relative to the current one."""
    if re.match(_STORE, name) or _NO_FOLDER.match(name):
        return name
    return str(Path(name).expanduser().absolute())


def paths_from_here(parameters: Parameters) -> Parameters:
    """Return parameters whose relative paths are those of the current folder, for a worker."""
    found = {name: _from_here(value) for name, value in parameters if name != _GENERAL}
    general = getattr(parameters, _GENERAL, None)
    if general is not None and str(general) != NO_GENERAL:
        found[_GENERAL] = _from_here(general)
    return parameters.model_copy(update=found)


def _from_here(value: Any) -> Any:  # noqa: ANN401 - any field's
    if isinstance(value, Path):
        return value.expanduser().absolute()
    return tuple(map(_from_here, value)) if isinstance(value, tuple) else value


def tracking(name: str) -> str:
    """Check the name of a tracking server: its address without credentials, or a saved block.

    Raises:
        ValueError: it is neither.
    """
    try:
        return tracking_names.server_name(name)
    except InputError as wrong:
        raise ValueError(str(wrong)) from None


SERVER_TAKES_ABSOLUTE: dict[str, Any] = {"pattern": _ABSOLUTE}
"""For the schema of a path that a shell may give as a relative one, and form and API may not."""
SERVER_TAKES_GENERAL: dict[str, Any] = {"pattern": rf"{_ABSOLUTE}|^{NO_GENERAL}$"}
ListedPath = Annotated[Path, Field(json_schema_extra=SERVER_TAKES_ABSOLUTE)]
AbsolutePath = Annotated[
    Path, AfterValidator(absolute), Field(json_schema_extra={"pattern": _ABSOLUTE})
]
TrackingName = Annotated[
    str, AfterValidator(tracking), Field(json_schema_extra={"pattern": tracking_names.ADDRESS})
]
StoreName = Annotated[str, AfterValidator(store), Field(json_schema_extra={"pattern": _STORE})]
