"""Where a run keeps and writes things: nothing that a worker would remove with its own folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.utilities.schema_tools import validation
from pydantic import BaseModel, ValidationError

from blocks import parameter_types
from blocks.parameter_types import paths_from_here
from blocks.stores import LocalArtifactStore, S3ArtifactStore, open_store
from flows.config import CycleConfig
from flows.evaluate_cycle import EvaluationConfig
from flows.serving_config import ServingConfig
from flows.watch_inbox import WatchConfig
from tasks.common.errors import InputError
from tasks.records.s3_store import S3Store
from tasks.records.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_STORES = [
    "archive",
    "./archive",
    "s3-artefact-store/clinic",
    "s3-artifact-store",
    "s3-artifact-store/",
    "local-artifact-store/a/b",
    "S3://clinic/asr",
    "s3:/clinic/asr",
    "s3://",
    "s3:///asr",
    "file:///srv/store",
    "",
]
CYCLE = "/srv/cycles/cycle1"


def refused(model: type[BaseModel], parameters: Mapping[str, Any], field: str) -> str:
    """See that both refuse a field: the model, and the server by the model's JSON schema."""
    with pytest.raises(ValidationError) as by_model:
        model.model_validate(parameters)
    (wrong,) = by_model.value.errors()
    assert wrong["loc"] == (field,)
    with pytest.raises(validation.ValidationError, match=re.escape(field)):
        validation.validate(dict(parameters), model.model_json_schema(), raise_on_error=True)
    return wrong["msg"]


@pytest.mark.parametrize("name", NO_STORES)
def test_what_names_no_store_is_refused_by_the_field(name: str) -> None:
    """Each once was a folder that the worker removed after a green run."""
    for model, more in ((CycleConfig, {"cycle": CYCLE}), (WatchConfig, {"cycles": "/srv"})):
        assert "s3-artifact-store/NAME" in refused(model, {**more, "store": name}, "store")
    with pytest.raises(InputError, match=r"store: .*Fix: s3-artifact-store/NAME"):
        open_store(name)


@pytest.mark.parametrize(
    ("model", "parameters", "field"),
    [
        (EvaluationConfig, {"cycle": CYCLE}, "out"),
        (WatchConfig, {"store": "/srv/store"}, "cycles"),
        (LocalArtifactStore, {}, "root"),
    ],
)
@pytest.mark.parametrize("path", ["kept", "../kept", "~", ""])
def test_a_relative_path_to_write_to_is_refused_by_the_field(
    model: type[BaseModel], parameters: dict[str, Any], field: str, path: str
) -> None:
    """The same for an evaluation's result, the folder of cycles and a block's folder."""
    assert "Fix: begin with /" in refused(model, {**parameters, field: path}, field)


@pytest.mark.parametrize(
    ("model", "parameters", "field"),
    [
        (CycleConfig, {}, "cycle"),
        *((CycleConfig, {"cycle": CYCLE}, name) for name in ("general", "baseline")),
        (CycleConfig, {"cycle": CYCLE}, "stock_script"),
        (EvaluationConfig, {}, "cycle"),
        (ServingConfig, {}, "cycle"),
        *((ServingConfig, {"cycle": CYCLE}, name) for name in ("phrases", "offline")),
    ],
)
def test_a_relative_path_to_read_is_refused_by_the_server_alone(
    model: type[BaseModel], parameters: dict[str, Any], field: str
) -> None:
    """A worker would look for it in a folder of its own; in a shell it is right."""
    schema = model.model_json_schema()
    for path in ("cycle2", "../cycle2", ""):
        given = {"cycle": CYCLE, **parameters, field: path}
        assert getattr(model.model_validate(given), field) == Path(path)
        with pytest.raises(validation.ValidationError, match=re.escape(field)):
            validation.validate(given, schema, raise_on_error=True)
    for path in ("/srv/cycle2", "~/cycle2"):
        validation.validate({"cycle": CYCLE, field: path}, schema, raise_on_error=True)


def test_general_english_may_be_none_by_the_form_too() -> None:
    """It is a word, and no file's name."""
    schema = CycleConfig.model_json_schema()
    validation.validate({"cycle": CYCLE, "general": "none"}, schema, raise_on_error=True)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (CycleConfig, "audio_roots"),
        (EvaluationConfig, "audio_roots"),
        (ServingConfig, "audio_roots"),
        (ServingConfig, "bundles"),
    ],
)
def test_a_relative_folder_of_a_list_is_refused_by_the_server(
    model: type[BaseModel], field: str
) -> None:
    """Each of them, by its place."""
    given: dict[str, Any] = {"cycle": CYCLE, field: ["/srv/audio", "audio"]}
    with pytest.raises(validation.ValidationError, match="audio"):
        validation.validate(given, model.model_json_schema(), raise_on_error=True)


def test_a_shells_relative_paths_are_made_absolute_for_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of lists too; what is no path stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/worker")
    roots = (Path("audio"), Path("/srv/audio"), Path("~/audio"))
    config = CycleConfig(cycle=Path("cycle1"), general=Path("none"), audio_roots=roots)
    made = paths_from_here(config)
    assert made.cycle == tmp_path / "cycle1"
    assert made.audio_roots == (
        tmp_path / "audio", Path("/srv/audio"), Path("/home/worker/audio"),
    )  # fmt: skip
    assert (made.general, made.priority, made.baseline) == (Path("none"), ("drug",), None)
    general = paths_from_here(CycleConfig(cycle=Path("cycle1"), general=Path("english.jsonl")))
    assert general.general == tmp_path / "english.jsonl"


def test_what_names_a_store_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the model and by the server; ``~`` is the worker's home."""
    monkeypatch.setenv("HOME", "/home/worker")
    schema = CycleConfig.model_json_schema()
    for name in (
        "/srv/store", "~/store", "s3://clinic", "s3://clinic/asr/", "s3-artifact-store/clinic",
        "local-artifact-store/clinic", None,
    ):  # fmt: skip
        assert CycleConfig.model_validate({"cycle": CYCLE, "store": name}).store == name
        validation.validate({"cycle": CYCLE, "store": name}, schema, raise_on_error=True)
    assert open_store("/srv/store") == LocalStore(Path("/srv/store"))
    assert open_store("~/store") == LocalStore(Path("/home/worker/store"))
    watch = WatchConfig.model_validate({"store": "/srv/store", "cycles": "~/cycles"})
    assert watch.cycles == Path("/home/worker/cycles")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    remote = open_store("s3://clinic/asr")
    assert isinstance(remote, S3Store)
    assert (remote.bucket, remote.prefix) == ("clinic", "asr/")


def test_the_names_of_blocks_are_the_blocks_own() -> None:
    """What the pattern knows is what Prefect calls them."""
    kinds = (LocalArtifactStore, S3ArtifactStore)
    slugs = [kind.get_block_type_slug() for kind in kinds]
    assert slugs == [parameter_types.LOCAL_BLOCK, parameter_types.S3_BLOCK]


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As bad input, with botocore's words."""
    monkeypatch.setenv("AWS_PROFILE", "never-made")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(InputError, match="never-made"):
        open_store("s3://clinic/asr")


def test_a_folder_typed_in_a_shell_is_of_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of the pen is not a folder."""
    monkeypatch.chdir(tmp_path)
    assert parameter_types.store_from_here("kept") == str(tmp_path / "kept")
    assert parameter_types.store_from_here("a/b") == str(tmp_path / "a" / "b")
    for name in ("/srv/store", "s3://clinic/asr", "s3-artifact-store/clinic"):
        assert parameter_types.store_from_here(name) == name
    for name in NO_STORES:
        if name not in {"archive", "./archive", "s3-artifact-store"}:
            with pytest.raises(ValueError, match="Fix: s3-artifact-store/NAME"):
                parameter_types.store(parameter_types.store_from_here(name))
