"""The clinic's models in MLflow's registry: a version for each kept model, and two aliases.

``candidate`` is the newest kept model, ``champion`` the one of `asr-flywheel history`. What both
ought to be is a tag of the registered model, with the time of that decision. So an outbox that is
sent late changes nothing that was decided after it, and an alias follows when its version arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

ALIASES = ("champion", "candidate")
_DECIDED = "asr_flywheel.decided_at"
_ALREADY = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """One clinic's registered model."""

    client: MlflowClient
    name: str

    def register(self, run: str, line: Mapping[str, Any]) -> None:
        """Add a kept model's version, unless the registry has it.

        Args:
            run: id of the run whose artifacts hold it.
            line: the outbox's.
        """
        self._make_model()
        tags = {"model_sha256": line["model_sha256"], "cycle": str(line["cycle"])}
        known = any(
            version.run_id == run and version.tags.get("model_sha256") == line["model_sha256"]
            for version in self._versions()
        )
        if not known:
            self.client.create_model_version(
                self.name,
                source=f"runs:/{run}/{line['place']}",
                run_id=run,
                tags={**tags, "verdict": "keep", "file": line["name"]},
            )
        self._set_aliases()

    def decide(self, line: Mapping[str, Any]) -> None:
        """Note which models champion and candidate are, unless something newer was decided.

        Args:
            line: the outbox's: the SHA-256 of each model, or None, and the time of the decision.
        """
        if not any(line[alias] for alias in ALIASES) and not self._is_there():
            return  # nothing was ever kept
        self._make_model()
        tags = self.client.get_registered_model(self.name).tags
        if int(tags.get(_DECIDED, 0)) <= line["decided"]:
            for alias in ALIASES:
                self.client.set_registered_model_tag(
                    self.name, _wanted(alias), line[alias] or "none"
                )
            self.client.set_registered_model_tag(self.name, _DECIDED, str(line["decided"]))
        self._set_aliases()

    def _is_there(self) -> bool:
        try:
            self.client.get_registered_model(self.name)
        except MlflowException as absent:
            if absent.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _make_model(self) -> None:
        if self._is_there():
            return
        try:
            self.client.create_registered_model(
                self.name,
                description="Models that `asr-flywheel` kept. Aliases: candidate is the newest "
                "kept one, champion the one to use.",
            )
        except MlflowException as taken:  # by another process, just now
            if taken.error_code != _ALREADY:
                raise

    def _versions(self) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self.client.search_model_versions(f"name='{self.name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.version))

    def _set_aliases(self) -> None:
        """Have each alias at the version that ought to have it, as far as that is there."""
        model = self.client.get_registered_model(self.name)
        by_sha256 = {
            version.tags.get("model_sha256"): str(version.version) for version in self._versions()
        }
        for alias in ALIASES:
            wanted = model.tags.get(_wanted(alias))
            version = by_sha256.get(wanted)
            held = model.aliases.get(alias)
            if version is not None and str(held) != version:
                self.client.set_registered_model_alias(self.name, alias, version)
            elif wanted == "none" and held is not None:
                self.client.delete_registered_model_alias(self.name, alias)


def _wanted(alias: str) -> str:
    return f"asr_flywheel.{alias}"
