"""Which names mean this machine, and that no proxy is asked for them."""

from __future__ import annotations

import ipaddress
import os

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_HERE = ("localhost", "127.0.0.1", "::1")


def reach_loopback_directly() -> None:
    """Except this machine from the proxies of the environment, if there are any.

    A run starts a server on loopback and asks it. A proxy would be asked in its place, and either
    refuses or asks itself.
    """
    is_set = any(os.environ.get(name) or os.environ.get(name.lower()) for name in _PROXIES)
    if not is_set:
        return
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in said.split(",") if name.strip()]
    if "*" in names:
        return
    names += [name for name in _HERE if name not in names]
    # Libraries read one or the other, and the small letters first.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(names)


def is_loopback(host: str) -> bool:
    """Return whether only this machine is reached by a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
