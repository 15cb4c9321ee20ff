"""What several commands share: options, exit codes, a run's own server, and printing JSON."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tasks.common.errors import FlywheelError, InputError
from tasks.training.recipes import Method, RecipeName

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def server_answers() -> Iterator[None]:
    """Turn Prefect's words on a server that is out of reach into an error with its fix.

    Raises:
        FlywheelError: the server does not answer.
    """
    try:
        yield
    except RuntimeError as wrong:
        # Prefect has no class of its own for these two.
        if "Failed to reach API" in str(wrong) or "ephemeral Prefect API" in str(wrong):
            raise FlywheelError(
                f"Prefect: {wrong} Fix: start the server that PREFECT_API_URL names, or unset it; "
                "without a server, PREFECT_HOME must be a folder that you may write to."
            ) from wrong
        raise


@contextmanager
def no_idle_heartbeat() -> Iterator[None]:
    """Flows in the block send no heartbeat to a server of the run's own.

    It ends with the run, so that nobody is left to miss one; the heartbeat's thread ends up to a
    second after its flow, and Prefect waits for it.
    """
    from prefect.settings import (  # noqa: PLC0415 - slow
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    from flows import prefect_helpers  # noqa: PLC0415 - imports Prefect

    updates = {} if prefect_helpers.is_named() else {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(updates=updates):
        yield


@contextmanager
def server_meanwhile() -> Iterator[None]:
    """Have Prefect start the run's own server while the block prepares the run.

    Where PREFECT_API_URL names a server there is none to start.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - slow

    failed: list[Exception] = []

    def start() -> None:
        try:
            # Making a client is what starts it; the run finds it up.
            get_client(sync_client=True)
        except Exception as wrong:  # noqa: BLE001 - raised below, where it can be handled
            failed.append(wrong)

    # A daemon: what the block raises, Ctrl-C too, does not wait for a server that nobody needs.
    starting = Thread(target=start, daemon=True)
    starting.start()
    yield
    starting.join()
    if failed:
        raise failed[0]


def print_json(value: object) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
