"""What several commands share: options, exit codes, a run's own server, and printing JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tasks.common.errors import InputError
from tasks.models.catalog import Method
from tasks.training.recipes import RecipeName

if TYPE_CHECKING:
    import pydantic

Model = TypeVar("Model", bound="pydantic.BaseModel")

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_REFUSED = 1, 2, 3
DEFAULT_BASE = "nvidia/parakeet-tdt-0.6b-v2"

CycleArgument = Annotated[Path, typer.Argument(help="A folder cycle<N> with manifest.jsonl.")]
BaseOption = Annotated[
    str, typer.Option("--base", help="A known base, a .nemo file, embedded, embedded-tdt or -rnnt.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Load a model that may run code of its own.")
]
PriorityOption = Annotated[
    list[str] | None, typer.Option("--priority", help="Category that decides; may be repeated.")
]
BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", help="per_sample.json or offline_hyps.jsonl, if not the cycle's."),
]
AudioRootOption = Annotated[
    list[Path] | None, typer.Option("--audio-root", help="Another folder audio may lie in.")
]
MaxDurationOption = Annotated[
    float | None, typer.Option("--max-duration", help="Longest row, seconds; else the recipe's.")
]
KeepStyleOption = Annotated[
    bool, typer.Option("--keep-style", help="Train on the text as written.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
MethodOption = Annotated[Method, typer.Option(help="Adapters are always refused.")]
GeneralLimitOption = Annotated[
    float | None,
    typer.Option(
        "--general-limit", min=0, help="Points that the WER of general English may rise; else 0.5."
    ),
]
HoldOutTermsOption = Annotated[
    bool, typer.Option("--hold-out-terms", help="Hold out whole terms: none on both sides.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seeds the split and training.")]
RecipeOption = Annotated[RecipeName, typer.Option("--recipe", help="Named hyperparameters.")]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")
]


def validated(model: type[Model], parameters: dict[str, Any]) -> Model:
    """A flow's parameters, checked by their model.

    Raises:
        InputError: names each field, what is wrong with it and its value.
    """
    import pydantic  # noqa: PLC0415 - --help never pays for it

    try:
        return model.model_validate(parameters)
    except pydantic.ValidationError as wrong:
        lines = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']} (got {one['input']!r})"
            for one in wrong.errors()
        ]
        raise InputError("; ".join(lines)) from wrong


def print_json(value: object) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
