"""Names, values and the server's address, as MLflow takes them."""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from urllib.parse import urlsplit

from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of

BLOCK = "mlflow-tracking"
"""The slug of the Prefect block that names a server with its credentials."""
ADDRESS = rf"^https?://[^\s@?#]+$|^{BLOCK}/[^/\s]+$"
"""A server's address without credentials, or a saved block."""
MOST_VALUE = 5900
"""Characters of a parameter or tag: MLflow takes 6000 of the one and 8000 of the other."""
_MOST_NAME = 240  # of MLflow's 250
_REFUSED = re.compile(r"[^\w\-. :/]", re.ASCII)
_SAID = {"%": "percent", "@": "at", "–": "-", "µ": "u", "μ": "u"}
# What a file system or MLflow's own check takes for a path.
_PATHS = re.compile(r"^[./\s]+|(?<=/)[./\s]+|[/\s]+$")


def tracking_name(raw: str) -> str:
    """Return a name of a metric, parameter or tag that MLflow takes.

    MLflow refuses %, @, parentheses, the en dash and all but ASCII, and names that read as a path
    elsewhere. A name that had to be changed ends with a hash of the first, so that two stay two.
    """
    name = "".join(_SAID.get(sign, sign) for sign in raw)
    name = _PATHS.sub("", _REFUSED.sub("_", name)) or "_"
    if name == raw and len(name) <= _MOST_NAME and posixpath.normpath(name) == name:
        return name
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{posixpath.normpath(name)[:_MOST_NAME]}_{digest}"


def shortened(value: object) -> str:
    """Return a value as a parameter or tag, cut where MLflow would refuse it."""
    text = "" if value is None else str(value)
    if len(text) <= MOST_VALUE:
        return text
    return f"{text[:MOST_VALUE]}… ({len(text)} characters)"


def as_number(value: object) -> float | None:
    """Return a figure that MLflow keeps as it is.

    None for what is no number, and for inf and nan: MLflow stores inf as 1.797e308, and draws both.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def server_name(name: str) -> str:
    """Check the address of a tracking server, or the name of a saved block.

    Raises:
        InputError: it is neither, or holds credentials; what was given is not repeated then.
    """
    if re.fullmatch(ADDRESS, name) and (name.startswith(BLOCK) or urlsplit(name).hostname):
        return name.rstrip("/")
    if re.search(r"[@?#]", name):
        raise InputError(
            f"{name_of('track')}: the address holds a user, a password or a query, which would be "
            "stored. Fix: give the bare address, and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment; or save an "
            "MLflow Tracking block."
        )
    raise InputError(
        f"{name_of('track')} {name!r}: is no MLflow server. Fix: give http://HOST:PORT or "
        f"https://HOST, or {BLOCK}/NAME for a saved block. For files of your own, start a server: "
        "mlflow server --backend-store-uri sqlite:///mlflow.db"
    )
