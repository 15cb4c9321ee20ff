"""A catalogue base as a file: from the Hugging Face cache if it is there, pinned and hashed.

The first time, the revision and the hash of the file are written down; from then on a file with
another content is refused, whoever changed it. A hash that the catalogue knows counts from the
first time. The hash is computed again only when the file's size or time has changed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common import atomic_files, hashing
from tasks.common.errors import InputError
from tasks.common.installation import BASES_FOLDER, find_bundle_root
from tasks.common.parameter_names import name_of

_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_LONGEST_REASON = 160


@dataclass(frozen=True, slots=True)
class Pinned:
    """A base's file.

    Attributes:
        path: where it is.
        revision: the commit of its repository, or "" for a file of the user's own.
        sha256: of its content.
    """

    path: Path
    revision: str
    sha256: str


def pins_file() -> Path:
    """Return the path of this user's file of pinned revisions and hashes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "asr-flywheel" / "bases.json"


def resolve(name: str, revision: str, sha256: str) -> Pinned:
    """Return the .nemo of a repository, downloaded only if the cache lacks it.

    Args:
        name: such as nvidia/parakeet-tdt-0.6b-v2, whose file is parakeet-tdt-0.6b-v2.nemo.
        revision: the commit that the catalogue names, or "".
        sha256: the hash that the catalogue names, or "".

    Raises:
        InputError: it is neither cached nor reachable, or its content is not the pinned one.
    """
    pins = _read()
    pin = pins.get(name, {})
    revision = pin.get("revision") or revision
    path = find_cached(name, revision) or _download(name, revision)
    state = path.stat()
    file_state = {"bytes": state.st_size, "modified_ns": state.st_mtime_ns}
    digest = pin.get("sha256", "") if file_state == _state(pin) else hashing.sha256_file(path)
    expected = sha256 or pin.get("sha256", "")
    if expected and digest != expected:
        raise InputError(
            f"base {name!r}: the file's SHA-256 is {digest}, the pinned one is {expected} "
            f"({path}). It was changed, damaged, or replaced upstream. Fix: download it again "
            f"(`hf cache rm`, then `{_command(name, revision)}`); if the new content is meant, "
            f"remove {name!r} from {pins_file()}."
        )
    commit = path.parent.name
    if pin != (new := {"revision": commit, "sha256": digest, **file_state}):
        atomic_files.write_json(pins_file(), {**pins, name: new})
    return Pinned(path.resolve(), commit, digest)


def find_cached(name: str, revision: str = "") -> Path | None:
    """Return the cached file of the pinned revision, else that of the newest, else None.

    An installation from an offline bundle has a cache of its own, which counts after the user's.
    A copy of another revision may hold the same file; whether it does, its hash tells.
    """
    import huggingface_hub  # noqa: PLC0415 - half a second that only a named base pays

    root = find_bundle_root()
    caches = [None] if root is None else [None, root / BASES_FOLDER]
    for cached_revision in dict.fromkeys((revision or None, None)):
        for cache in caches:
            cached_path = huggingface_hub.try_to_load_from_cache(
                name, _filename(name), cache_dir=cache, revision=cached_revision
            )
            if isinstance(cached_path, str):
                return Path(cached_path)
    return None


def _download(name: str, revision: str) -> Path:
    import huggingface_hub  # noqa: PLC0415 - as above

    try:
        return Path(
            huggingface_hub.hf_hub_download(name, _filename(name), revision=revision or None)
        )
    # Of a proxy's refusal the hub lets through what its HTTP library raises, which is another one
    # in each of its major versions.
    except Exception as unreachable:
        raise InputError(
            f"base {name!r}: not in the local cache, and it cannot be downloaded "
            f"({_reason(unreachable)}). Fix: behind a proxy set HTTPS_PROXY, and for certificates "
            "of your own SSL_CERT_FILE (docs/proxy.md). Or on a machine with network run "
            f"`{_command(name, revision)}` and copy its Hugging Face cache here, or pass the path "
            f"of the .nemo with {name_of('base')}."
        ) from unreachable


def _reason(wrong: BaseException) -> str:
    """Return what an error began with: the hub wraps a certificate or a proxy into its own."""
    while (cause := wrong.__cause__ or wrong.__context__) is not None:
        wrong = cause
    said = (str(wrong).strip().splitlines() or [""])[0]
    # An address may hold the credentials of a proxy.
    said = _CREDENTIALS.sub("//", said)[:_LONGEST_REASON]
    return f"{type(wrong).__name__}: {said}" if said else type(wrong).__name__


def _filename(name: str) -> str:
    return name.rsplit("/", maxsplit=1)[-1] + ".nemo"


def _command(name: str, revision: str) -> str:
    pinned = f" --revision {revision}" if revision else ""
    return f"hf download {name} {_filename(name)}{pinned}"


def _read() -> dict[str, Any]:
    if not pins_file().is_file():
        return {}
    pins = atomic_files.read_json(pins_file())
    return pins if isinstance(pins, dict) else {}


def _state(pin: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": pin.get("bytes"), "modified_ns": pin.get("modified_ns")}
