"""Paths of recordings as manifests and results of other hosts write them.

Besides POSIX paths these are Windows paths, with a drive or only with backslashes, and URLs. They
are compared by their parts; whether there is such a file is asked elsewhere.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_LONG = re.compile(r"[\\/]{2}[?.][\\/](UNC[\\/])?", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(path: str) -> bool:
    """Return whether a path is a URL, such as s3://bucket/a.wav."""
    return _URL.match(_plain(path)) is not None


def _plain(path: str) -> str:
    r"""Return a path without Windows' prefix of long ones, and a file's URL with slashes.

    ``\\?\C:\a.wav`` is ``C:\a.wav``.
    """
    if path[:5].lower() == "file:":
        return path.replace("\\", "/")
    found = _LONG.match(path)
    if found is None:
        return path
    return ("" if found[1] is None else "\\\\") + path[found.end() :]


def is_windows(path: str) -> bool:
    r"""Return whether a path is one of Windows: a drive, a share, or parts between backslashes."""
    return not is_url(path) and (_DRIVE.match(path) is not None or "\\" in path)


def path_parts(path: str) -> tuple[str, ...]:
    """Return the parts of a path of any host, without its drive or its scheme."""
    if "\\" not in path and ":" not in path:
        return PurePosixPath(path).parts
    return PurePosixPath(as_posix(path)).parts


def as_posix(path: str) -> str:
    """Return a path with slashes: without its drive, and of a URL what follows the scheme.

    ``file:///C:/a%20b.wav`` is ``/a b.wav``, and ``s3://bucket/a.wav`` is ``/bucket/a.wav``.
    """
    path = _plain(path)
    if is_url(path):
        url = urlsplit(path)
        local = unquote(url.path)
        if url.scheme.lower() == "file":
            return as_posix(local[1:]) if _DRIVE.match(local[1:]) else local
        return f"/{url.netloc}{local}"
    if not is_windows(path):
        return path
    windows = PureWindowsPath(path)
    parts = windows.parts[1:] if windows.anchor else windows.parts
    share = windows.drive.replace("\\", "/").strip("/") if windows.drive[1:] != ":" else ""
    return ("/" if windows.root else "") + "/".join(filter(None, (share, *parts)))


def host_path(path: str) -> PurePosixPath:
    r"""Return an absolute path of any host as one with slashes that keeps its drive or scheme.

    ``C:\\a\\b.wav`` is ``/C:/a/b.wav``, and ``s3://bucket/b.wav`` is ``/s3:/bucket/b.wav``, so
    that two drives do not become one folder. A relative path stays relative.
    """
    path = _plain(path)
    if is_url(path):
        scheme = urlsplit(path).scheme.lower()
        return PurePosixPath(as_posix(path) if scheme == "file" else f"/{scheme}:{as_posix(path)}")
    if not is_windows(path):
        return PurePosixPath(path)
    windows = PureWindowsPath(path)
    if not windows.is_absolute():
        return PurePosixPath(as_posix(path))
    drive = windows.drive.replace("\\", "/").strip("/")
    return PurePosixPath("/" + drive.upper() if len(drive) == len("C:") else "/" + drive).joinpath(
        *windows.parts[1:]
    )
