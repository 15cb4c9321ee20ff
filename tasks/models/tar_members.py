"""Read the members of an untrusted tar archive and refuse dangerous names and sizes.

Nothing is unpacked here. NeMo unpacks a .nemo later, in a folder of its own, so that a member that
leads out of that folder, or that grows without end, must be found before.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tasks.common.errors import InputError

if TYPE_CHECKING:
    import tarfile
    from pathlib import Path

MOST_MEMBERS = 10_000
"""A .nemo holds a dozen."""
MOST_EXPANSION = 20
"""Unpacked bytes for each byte of the file; compressed weights have less than two."""
_SMALL = 64 << 20
_REMEDY = "Fix: take the model from its maker again; a .nemo that NeMo saved has no such member."


def read_members(archive: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """Return an archive's members by their names, without a leading "./".

    Walking the whole archive also finds one that was cut short.

    Raises:
        InputError: a member leads out of the archive, is a link or a device, comes twice, claims
            bytes that are not there, or is far larger than the file.
    """
    file_size = path.stat().st_size
    limit = max(_SMALL, MOST_EXPANSION * file_size)
    members: dict[str, tarfile.TarInfo] = {}
    total = 0
    for member in archive:
        name = member.name.removeprefix("./")
        total += member.size
        if problem := _member_problem(name, member):
            raise InputError(f"{path}: its member {member.name!r} {problem}. {_REMEDY}")
        if name in members:
            raise InputError(f"{path}: its member {member.name!r} comes twice. {_REMEDY}")
        if total > limit:
            raise InputError(
                f"{path}: its members claim {total} bytes, the file has {file_size}. {_REMEDY}"
            )
        if len(members) == MOST_MEMBERS:
            raise InputError(f"{path}: has more than {MOST_MEMBERS} members. {_REMEDY}")
        members[name] = member
    return members


def _member_problem(name: str, member: tarfile.TarInfo) -> str:
    """Describe the problem of one member; return "" if there is none."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or "\0" in name:
        return "leads out of the archive"
    if member.issym() or member.islnk():
        return f"is a link to {member.linkname!r}"
    if member.issparse():
        return "is sparse: its size says nothing of its bytes"
    if not (member.isreg() or member.isdir()):
        return "is neither a file nor a folder"
    return ""
