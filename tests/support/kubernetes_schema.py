"""Kubernetes' own schema, as the models of its generated client have it.

The client's models accept any dictionary; here every field must be one that Kubernetes has, every
value of the field's type, and what is required must be there. A cluster ignores a misspelt field.
"""

from __future__ import annotations

import re
from typing import Any

from kubernetes_asyncio.client import models

KINDS = {
    "Job": "V1Job",
    "Namespace": "V1Namespace",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
}
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": (dict, list, str, int, bool),
    # A port is a number or a name.
    "IntOrString": (int, str),
}


def find_faults(document: dict[str, Any]) -> list[str]:
    """What in a manifest is not as the schema of its kind has it: paths with the reason."""
    return _find_faults(document, KINDS[document["kind"]], document["kind"])


def _find_faults(value: Any, kind: str, path: str) -> list[str]:
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [
            fault
            for number, item in enumerate(value)
            for fault in _find_faults(item, inner[1], f"{path}[{number}]")
        ]
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no mapping"]
        return [
            fault
            for key, item in value.items()
            for fault in _find_faults(item, inner[1], f"{path}.{key}")
        ]
    if kind in _PLAIN:
        fits = isinstance(value, _PLAIN[kind]) and (kind == "bool") >= isinstance(value, bool)
        return [] if fits or kind == "object" else [f"{path}: {value!r} is no {kind}"]
    return _find_model_faults(value, getattr(models, kind), path)


def _find_model_faults(value: Any, model: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no {model.__name__}"]
    names = {there: here for here, there in model.attribute_map.items()}
    faults = [f"{path}.{name}: {model.__name__} has no such field" for name in value.keys() - names]
    for name in value.keys() & names.keys():
        faults += _find_faults(value[name], model.openapi_types[names[name]], f"{path}.{name}")
    # The setters of a model refuse an absent value that is required, and an unknown name of a list.
    arguments = {names[name]: item for name, item in value.items() if name in names}
    try:
        model(**arguments)
    except ValueError as wrong:
        faults.append(f"{path}: {wrong}")
    return faults
