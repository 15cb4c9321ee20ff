"""What is asked of a validation of a served model, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pydantic
import pytest

from asr_flywheel.options import OPTION_NAMES
from flows.serving_config import ServingConfig
from flows.validate_serving import read_phrases
from tasks.common.errors import InputError
from tasks.common.parameter_names import spelled_as
from tasks.models.catalog import embedded_path
from tasks.models.nemo_archive import open_archive
from tasks.serving.riva_client import ENDPOINT_VARIABLE, FUNCTION_VARIABLE, EndpointSettings

if TYPE_CHECKING:
    from tasks.models.nemo_archive import NemoArchive
    from tasks.serving.validation import ValidationPlan

CYCLE = Path("cycle1")


@dataclass(frozen=True)
class Plan:
    """A plan, of which the model alone is asked for."""

    model: NemoArchive | None


PLAN = cast("ValidationPlan", Plan(open_archive(embedded_path())))


@pytest.mark.parametrize(
    ("score", "said"),
    [(0.0, "boosts nothing"), (float("nan"), "no finite number"), (float("inf"), "no finite")],
)
def test_a_score_that_boosts_nothing_is_refused(score: float, said: str) -> None:
    """Before a recording is sent."""
    phrases = Path("phrases.txt")
    with pytest.raises(pydantic.ValidationError, match=said):
        ServingConfig(cycle=CYCLE, phrases=phrases, boost_scores=(20.0, score))
    config = ServingConfig(cycle=CYCLE, phrases=phrases, boost_scores=(20.0, -5.0))
    assert config.boost_scores == (20.0, -5.0)


def test_a_certificate_without_tls_is_refused() -> None:
    """Whoever names one believes that the recordings are encrypted on their way."""
    settings = EndpointSettings(address="riva:50051", tls_root=Path("root.pem"))
    with pytest.raises(InputError, match=r"endpoint\.tls_root root\.pem: has no effect without "):
        settings.endpoint(str)
    safe = settings.model_copy(update={"tls": True})
    assert safe.endpoint(str).tls


def test_a_list_is_read_before_anything_is_sent(tmp_path: Path) -> None:
    """As the served model writes; one that is absent, or that it cannot spell, is bad input."""
    assert read_phrases(ServingConfig(cycle=CYCLE), PLAN) == ()
    path = tmp_path / "phrases.txt"
    config = ServingConfig(cycle=CYCLE, phrases=path)
    with pytest.raises(InputError, match=r"phrases\.txt: cannot be read"):
        read_phrases(config, PLAN)
    path.write_text("Heparin\nwarfarin\n")
    assert read_phrases(config, PLAN) == ("heparin", "warfarin")
    path.write_text("日本\n", encoding="utf-8")
    with pytest.raises(InputError, match="the model can spell none of its phrases"):
        read_phrases(config, PLAN)


@pytest.mark.parametrize(
    "given",
    [
        {"engine": "onnx-asr"},
        {"bundles": ["b"], "phrases": "phrases.txt"},
        {"bundles": ["b"], "endpoint_block": "riva"},
    ],
)
def test_an_endpoint_or_bundles_are_validated_not_both(given: dict[str, object]) -> None:
    """An engine needs its bundle; a bundle is asked for no phrases."""
    with pytest.raises(pydantic.ValidationError, match=r"bundle"):
        ServingConfig.model_validate({"cycle": "cycle1", **given})


def test_an_endpoint_that_is_missing_is_named_as_it_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Form and API have parameters, a shell has options."""
    for name in (ENDPOINT_VARIABLE, FUNCTION_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"Fix: endpoint\.address HOST:PORT"):
        EndpointSettings().endpoint(str)
    with spelled_as(OPTION_NAMES), pytest.raises(InputError, match="Fix: --endpoint HOST:PORT"):
        EndpointSettings().endpoint(str)
