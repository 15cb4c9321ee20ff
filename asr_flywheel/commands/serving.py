"""From a base's name to a served model: bases, handoff, validate-serving."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from asr_flywheel.config_options import with_options
from asr_flywheel.options import (
    EXIT_REFUSED,
    SERVING,
    JsonOption,
    print_json,
    refuse_with,
    validated,
)
from asr_flywheel.signal_ends import ANSWERED, flow_ended_by_signals
from flows.serving_config import ServingConfig
from tasks.common.errors import InputError
from tasks.common.shell_words import in_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.serving.edge.edge_source import EdgeSource
    from tasks.serving.handoff import Accepted, Refusal
    from tasks.serving.handoff_package import Tuned

app = typer.Typer()


class HandoffForm(StrEnum):
    """What a hand-off is made for."""

    RIVA = "riva"
    ONNX_ASR = "onnx-asr"
    SHERPA = "sherpa"
    ONNX = "onnx"


_MANY_LANGUAGES = 5


class _Smaller(NamedTuple):
    """Which bundles in int8 are asked for, beside that in fp32."""

    dynamic: bool
    static: bool


@app.command("bases")
def bases_command(
    name: Annotated[
        str | None,
        typer.Argument(help="Resolve this one to its pinned file, downloading it if need be."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the base models that this tool knows, or resolve one to a pinned, hashed file."""
    from tasks.models import catalog

    if name is not None:
        found = catalog.resolve_pinned(name)
        if as_json:
            print_json(
                {"path": str(found.path), "revision": found.revision, "sha256": found.sha256}
            )
        else:
            typer.echo(f"{found.path}\nrevision {found.revision or 'none'}\nsha256 {found.sha256}")
        return
    table = [
        {
            **base.as_dict(),
            "recommended": base.name == catalog.RECOMMENDED,
            "cached": base.name in catalog.CATALOGUE and catalog.at_hand(base.name) is not None,
        }
        for base in (*catalog.CATALOGUE.values(), *catalog.SHIPPED.values())
    ]
    if as_json:
        print_json(table)
        return
    for row in table:
        size = f"{row['millions']} M"
        cached = ", in the cache" if row["cached"] else ""
        licence = row["licence"] or "licence: see its page"
        typer.echo(
            f"{row['name']:<42} {row['status']:<9} {row['decoder']:<14} {size:>6}  "
            f"{row['nim_family']:<20} {licence}, {_languages(row['languages'])}{cached}"
        )
        typer.echo(f"    {row['note']}; {row['source']}")


def _languages(codes: list[str]) -> str:
    return "/".join(codes) if len(codes) < _MANY_LANGUAGES else f"{len(codes)} languages"


@app.command()
def handoff(
    cycle: Annotated[
        Path | None, typer.Argument(help="The cycle that the model was tuned on.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Instead: only say how a .nemo or a known base is served."),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option("--decoder", help="ctc, rnnt or tdt, as you believe; checked, never trusted."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Instead of handoff/ in the evaluated cycle.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Open this hand-off as the next stage would.")
    ] = None,
    *,
    even_if_not_kept: Annotated[
        bool, typer.Option(help="Hand on a model whose decision was not to keep it.")
    ] = False,
    form: Annotated[
        HandoffForm,
        typer.Option("--format", help="For Riva, or exported for an engine on a CPU."),
    ] = HandoffForm.RIVA,
    int8: Annotated[
        bool, typer.Option("--int8", help="With another --format than riva: an int8 bundle too.")
    ] = False,
    int8_static: Annotated[
        bool,
        typer.Option(
            "--int8-static",
            help="Likewise, a bundle in int8 that rows of the training set have calibrated.",
        ),
    ] = False,
    base: Annotated[
        bool,
        typer.Option("--base", help="Export the run's base, to compare what is served."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare a tuned model for serving: its card, its decoder, the commands. Exit 3: refused."""
    if (int8 or int8_static or base) and form is HandoffForm.RIVA:
        raise InputError(
            "--int8, --int8-static, --base: not for Riva. Fix: name --format onnx-asr or sherpa."
        )
    smaller = _Smaller(int8, int8_static)
    exported = {"--format": form is not HandoffForm.RIVA, "--int8": int8}
    exported |= {"--int8-static": int8_static, "--base": base}
    written = {"--out": out, "--even-if-not-kept": even_if_not_kept, **exported}
    if sum(one is not None for one in (cycle, model, verify)) != 1:
        raise InputError(
            "handoff: of what? Fix: name either a cycle, or --model FILE, or --verify FOLDER."
        )
    if verify is not None:
        refuse_with("--verify", {"--decoder": decoder, **written})
        _verify(verify, as_json=as_json)
    elif model is not None:
        refuse_with("--model", written)
        _describe(model, decoder, as_json=as_json)
    elif cycle is not None:
        from tasks.serving.edge.bundle import require_extra

        if base:
            refuse_with("--base", {"--even-if-not-kept": even_if_not_kept})
            _export_base(cycle, decoder, form, out, smaller=smaller, as_json=as_json)
            return
        tuned, found = _judge(cycle, decoder, even_if_not_kept=even_if_not_kept, as_json=as_json)
        if form is HandoffForm.RIVA:
            _write(tuned, found, out, as_json=as_json)
            return
        require_extra()
        from tasks.serving.edge import edge_source

        source = edge_source.tuned_source(tuned, found)
        _export(source, form, out, smaller=smaller, as_json=as_json)
        _record_handoff(tuned, form=form.value)


def _verify(folder: Path, *, as_json: bool) -> None:
    from tasks.models import purge_marks
    from tasks.serving import handoff_package
    from tasks.serving.edge.bundle import BUNDLE_NAME, require_extra

    purge_marks.require_accepted(folder / handoff_package.RECORD_NAME, "for serving")
    if (folder / BUNDLE_NAME).is_file():
        require_extra()
        from tasks.serving.edge import engine_check

        checked = engine_check.verify(folder)
    else:
        checked = handoff_package.verify(folder)
    if as_json:
        print_json({"folder": str(folder), "checked": checked})
    else:
        typer.echo("\n".join(checked))


def _describe(model: str, decoder: str | None, *, as_json: bool) -> None:
    from tasks.serving import handoff as deciding

    found = _accepted(deciding.judge_named(model, decoder), as_json=as_json)
    told = found.as_dict()
    if as_json:
        print_json(told)
        return
    for name in ("decoder", "riva_decoder_flag", "nim_family"):
        typer.echo(f"{name:<18} {told[name]}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")


def _judge(
    cycle: Path, decoder: str | None, *, even_if_not_kept: bool, as_json: bool
) -> tuple[Tuned, Accepted]:
    """The run's model and how it is served; a refusal ends the program."""
    from tasks.data.cycle_folder import open_cycle
    from tasks.models import purge_marks
    from tasks.serving import handoff_package

    tuned = handoff_package.find_tuned(open_cycle(cycle))
    purge_marks.require_accepted(tuned.model, "for hand-off")
    found = _accepted(
        handoff_package.judge_tuned(tuned, decoder, even_if_not_kept=even_if_not_kept),
        as_json=as_json,
    )
    return tuned, found


def _record_handoff(tuned: Tuned, **facts: str) -> None:
    from tasks.common import hashing
    from tasks.records import audit_log
    from tasks.records.audit_log import AuditedAct

    audit_log.record(
        tuned.evaluated.clinic,
        AuditedAct.HANDOFF,
        tuned.evaluated.path.name,
        model=tuned.model.parent.name,
        model_sha256=hashing.sha256(tuned.model),
        **facts,
    )


def _write(tuned: Tuned, found: Accepted, out: Path | None, *, as_json: bool) -> None:
    from tasks.serving import handoff_package

    folder = out or tuned.evaluated.path / handoff_package.FOLDER_NAME
    record = handoff_package.write(tuned, found, folder)
    _record_handoff(tuned)
    checked = handoff_package.verify(folder)
    if as_json:
        print_json({**found.as_dict(), "folder": str(folder), "record": str(record)})
        return
    typer.echo(f"{folder}: {tuned.model.parent.name}, decision {tuned.verdict}")
    typer.echo("\n".join(f"- {line}" for line in checked))
    typer.echo(
        f"Next, on the host that will serve: NIM_IMAGE=<a container of {found.target.family}> "
        f"{in_shell(folder / handoff_package.SCRIPT_NAME)}"
    )


def _export_base(
    cycle: Path,
    decoder: str | None,
    form: HandoffForm,
    out: Path | None,
    *,
    smaller: _Smaller,
    as_json: bool,
) -> None:
    from tasks.data.cycle_folder import open_cycle
    from tasks.serving import handoff_package
    from tasks.serving.edge.bundle import require_extra
    from tasks.serving.handoff import Refusal

    require_extra()
    from tasks.serving.edge import edge_source

    tuned = handoff_package.find_tuned(open_cycle(cycle))
    source = edge_source.base_source(tuned, decoder)
    if isinstance(source, Refusal):
        _accepted(source, as_json=as_json)
        return
    _export(source, form, out, smaller=smaller, as_json=as_json)


def _export(
    source: EdgeSource, form: HandoffForm, out: Path | None, *, smaller: _Smaller, as_json: bool
) -> None:
    from tasks.serving.edge import edge_package
    from tasks.serving.edge.bundle import EdgeEngine, EdgePrecision

    engine = EdgeEngine.SHERPA_ONNX if form is HandoffForm.SHERPA else EdgeEngine(form.value)
    folders = {EdgePrecision.FP32: out or edge_package.folder_of(source, engine)}
    whole = folders[EdgePrecision.FP32]
    for precision, wanted in (
        (EdgePrecision.INT8, smaller.dynamic),
        (EdgePrecision.INT8_STATIC, smaller.static),
    ):
        if wanted:
            folders[precision] = whole.with_name(f"{whole.name}-{precision.value}")

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    bundles = edge_package.write(source, engine, folders, report=tell)
    if as_json:
        print_json(
            {
                **source.accepted.as_dict(),
                "bundles": [{"folder": str(one.folder), **one.record} for one in bundles],
            }
        )
        return
    for bundle in bundles:
        typer.echo(f"{bundle.folder}: {bundle.precision.value}, {bundle.bytes / 1e6:.1f} MB")
        if check := bundle.record.get("check"):
            typer.echo(
                f"- {check['engine']}: {check['equal']} of {check['rows']} {check['which']} rows "
                "have NeMo's text to the letter"
            )
        for warning in bundle.record["warnings"]:
            typer.echo(f"- note: {warning}")
    if engine is not EdgeEngine.ONNX:
        named = [word for bundle in bundles for word in ("--bundle", str(bundle.folder))]
        recordings = (source.evaluated.previous or source.evaluated).path
        typer.echo(
            f"Next: asr-flywheel validate-serving {in_shell(recordings)} {shlex.join(named)}"
        )


def _accepted(found: Accepted | Refusal, *, as_json: bool) -> Accepted:
    """The model that may be handed on; a refusal is printed and ends the program."""
    from tasks.serving.handoff import Accepted

    if isinstance(found, Accepted):
        return found
    if as_json:
        print_json(found.as_dict())
    else:
        typer.echo(f"refused: {found.reason}")
    raise typer.Exit(EXIT_REFUSED)


@app.command("validate-serving")
@with_options(SERVING)
def validate_serving(*, as_json: JsonOption = False, **given: Any) -> None:  # noqa: ANN401 - of SERVING
    """Compare what an endpoint or a bundle writes with NeMo's texts. Exit 3: not the same."""
    config = validated(ServingConfig, SERVING.parameters(given))
    from tasks.data.cycle_folder import open_cycle
    from tasks.serving import validation

    validation.find_offline(open_cycle(config.cycle), config.offline)  # before a server starts
    from flows.validate_serving import validate_serving as flow

    leaves = not config.bundles or config.server is not None
    if leaves and not config.audio_may_leave and sys.stdin.isatty():
        config = _ask_for_consent(config)
    with quiet() if as_json else nullcontext(), flow_ended_by_signals(ANSWERED):
        report = flow(config)
    if as_json:
        print_json(report.as_dict())
    if not report.is_equal:
        raise typer.Exit(EXIT_REFUSED)


def _ask_for_consent(config: ServingConfig) -> ServingConfig:
    """Show a person how much audio leaves for where, and ask; a no ends the program."""
    from flows.validate_serving import find_endpoint, find_plan, find_server
    from tasks.serving import endpoint_transcription

    endpoint = find_server(config) or find_endpoint(config)
    if endpoint.is_local:
        return config
    typer.echo(
        str(endpoint_transcription.outgoing_audio(find_plan(config).rows, endpoint)), err=True
    )
    typer.confirm(f"Send them to {endpoint.host}?", abort=True, err=True)
    return config.model_copy(update={"audio_may_leave": True})


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing but the JSON on standard output."""
    from flows.console import console

    console.quiet = True
    try:
        yield
    finally:
        console.quiet = False
