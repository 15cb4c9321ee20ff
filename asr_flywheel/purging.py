"""The command purge: what it shows, what it asks, and what it does."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from asr_flywheel.options import print_json
from blocks.parameter_types import store_from_here
from tasks.common.counted import agreed, counted
from tasks.common.errors import InputError
from tasks.common.privacy_settings import KEEP_VARIABLE
from tasks.common.shell_words import in_shell
from tasks.models import purge_marks
from tasks.privacy import keyed_hashes, retention
from tasks.privacy import purge as purging
from tasks.privacy.keyed_hashes import KEY_NAME
from tasks.privacy.purge_scope import SCOPE
from tasks.records import audit_log
from tasks.records.audit_log import AuditedAct
from tasks.records.tracking.sent_texts import find_sent_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flows.purge_server import ServerTrace
    from tasks.privacy.purge import PurgePlan, PurgeRequest
    from tasks.privacy.store_purge import StoreChange
    from tasks.records.store import Store
    from tasks.records.tracking.sent_texts import SentTexts


_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PurgeSettings:
    """How the command is to work.

    Attributes:
        confirm: the recording or voice once more; of a list what the listing says.
        apply: whether to ask for it on the terminal.
        stores: names of stores besides the recorded ones.
        looks_at_stores: whether stores are looked at.
        asks_server: whether Prefect's server is asked.
        deletes_artifacts: whether its artifacts are deleted.
        as_json: whether the plan is printed as JSON.
    """

    confirm: str | None = None
    apply: bool = False
    stores: tuple[str, ...] = ()
    looks_at_stores: bool = True
    asks_server: bool = True
    deletes_artifacts: bool = False
    as_json: bool = False

    @property
    def dry(self) -> bool:
        """Whether nothing is to be done."""
        return self.confirm is None and not self.apply


def purge(request: PurgeRequest, settings: PurgeSettings) -> bool:
    """Show what a purge does, and do it where it is confirmed.

    Returns:
        Whether nothing is left that has to be removed by hand.

    Raises:
        InputError: what was typed is not what is purged.
    """
    if settings.confirm is not None and settings.confirm != request.label:
        raise InputError(
            f"--confirm {settings.confirm!r}: is not {request.label!r}, which would be purged. "
            + (
                "Fix: write the same twice."
                if request.listed is None
                else "Fix: list it without --confirm, and write what that says; another list has "
                "another hash."
            )
        )
    stores = _open_stores(request, settings)
    with purging.locked(request):
        if settings.dry:
            purging.refuse_interrupted(request.clinic)
        else:
            refused = purging.resume(request, stores, typer.echo)
            if refused is not None:
                _print_refused(refused)
                return not refused
        plan = purging.plan_purge(request, stores, dry=settings.dry)
        shown = _server_traces(plan, settings)
        if settings.as_json:
            print_json(describe(plan, shown))
        else:
            _print(plan, shown, settings)
        if settings.dry:
            if not settings.as_json and not plan.is_empty:
                typer.echo(
                    "Nothing was changed. To do it, give the same command with "
                    f"--confirm {in_shell(request.label)}."
                )
            return True
        if plan.is_empty:
            return True
        _ask(request, settings)
        refused = purging.apply_purge(plan, stores, typer.echo)
        _print_refused(refused)
        if settings.deletes_artifacts:
            from flows import purge_server  # noqa: PLC0415 - Prefect takes seconds to import

            gone = purge_server.delete_artifacts([trace for trace in shown if trace.deletable])
            typer.echo(f"{counted(gone, 'artifact')} of the server deleted")
    return not plan.left and not refused


def purge_expired(clinic: Path, keep: str | None, *, dry: bool) -> None:
    """List or remove what a site does not keep for long.

    Raises:
        InputError: no rule says what is kept.
    """
    if keep is None:
        raise InputError(
            f'purge: nothing says what --expired leaves. Fix: add --keep "3 cycles", or set '
            f"{KEEP_VARIABLE}."
        )
    rule = retention.read_rule(keep)
    find = retention.find_expired if dry else retention.remove_expired
    parts = find(clinic, rule)
    for part in parts:
        typer.echo(str(part))
    size = f"{sum(part.bytes for part in parts) / 1e6:.1f} MB"
    typer.echo(
        f"{counted(len(parts), 'part')}, {size}: nothing was changed; to do it, add --apply"
        if dry
        else f"{counted(len(parts), 'part')}, {size} removed"
    )


def accept_model(clinic: Path, model: Path) -> None:
    """Let a marked model be used again, in the name of the user who says so.

    Raises:
        InputError: the model has no mark.
    """
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    mark = purge_marks.accept(model, audit_log.user_name(), when)
    audit_log.record(
        clinic, AuditedAct.ACCEPT, model=model.absolute().parent.name, trained=mark.trained
    )
    typer.echo(
        f"{model}: accepted; it was trained on {counted(mark.trained, 'recording')} that "
        f"{agreed(mark.trained, 'was', 'were')} purged since"
    )


def forget_key(clinic: Path, *, settings_confirm: str | None) -> None:
    """Delete the key of keyed hashes, once its user types so.

    Raises:
        InputError: what was typed is something else, or there is no key.
    """
    wanted = KEY_NAME
    typed = settings_confirm or typer.prompt(
        f"Nobody can then tell whether a recording was purged. Type {wanted!r}", err=True
    )
    if typed != wanted:
        raise InputError(
            f"{typed!r} is not {wanted!r}: the key is still there. Fix: type it once more."
        )
    if not keyed_hashes.forget_key(clinic):
        raise InputError(f"{clinic / KEY_NAME}: there is no key, since nothing was purged here.")
    audit_log.record(clinic, AuditedAct.FORGET_KEY)
    typer.echo(f"{clinic / KEY_NAME}: deleted")


def _ask(request: PurgeRequest, settings: PurgeSettings) -> None:
    if settings.confirm is not None:
        return
    typed = typer.prompt(f"Type {request.label!r} to purge it", err=True)
    if typed != request.label:
        raise InputError(
            f"{typed!r} is not {request.label!r}: nothing was purged. Fix: type it once more."
        )


def _open_stores(request: PurgeRequest, settings: PurgeSettings) -> dict[str, Store]:
    if not settings.looks_at_stores:
        return {}
    from blocks.stores import open_store  # noqa: PLC0415 - boto3 takes a second to import

    recorded = purging.recorded_stores(request.clinic)
    named = [store_from_here(name) for name in settings.stores]
    return {name: open_store(name) for name in dict.fromkeys((*recorded, *named))}


def _server_traces(plan: PurgePlan, settings: PurgeSettings) -> list[ServerTrace]:
    if not settings.asks_server:
        return []
    from asr_flywheel.run_server import server_answers  # noqa: PLC0415 - Prefect's import
    from flows import purge_server  # noqa: PLC0415 - likewise

    with server_answers():
        return purge_server.find_traces(plan.request.cycle, plan.selection.traces)


def describe(plan: PurgePlan, shown: Sequence[ServerTrace]) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        **({} if plan.request.listed is None else {"confirm": plan.request.label}),
        "listed": [line.as_dict() for line in plan.selection.listed],
        "voices_named_in_figures": list(plan.selection.nameless),
        "rows_that_share_sound_and_stay": [
            {"manifest": str(one.row.manifest), "row": one.row.number, "seconds": one.seconds}
            for one in plan.selection.sharing
        ],
        "rows": len(plan.selection.rows),
        "recordings": [str(path) for path in plan.selection.audio],
        "hard_links_elsewhere": plan.selection.outside,
        "sources_not_touched": list(plan.selection.sources),
        "files": [
            {"path": str(change.path), "change": change.kind.value, "why": change.why}
            for change in plan.ordered
        ],
        "models": [{"folder": str(model.folder), "roles": model.roles} for model in plan.models],
        "handoffs": [str(path) for path in plan.handoffs],
        "results": [str(path) for path in plan.results],
        "not_looked_into": [str(path) for path in plan.opaque],
        "not_searched": [str(path) for path in plan.beside],
        "stores": {
            name: [
                {"url": change.url, "change": change.why, "versions": change.versions}
                for change in changes
            ]
            for name, changes in plan.stores.items()
        },
        "server": [trace.as_dict() for trace in shown],
        "tracking": [sent.as_dict() for sent in _sent(plan)],
    }


def _sent(plan: PurgePlan) -> list[SentTexts]:
    return find_sent_texts(plan.request.clinic, list(plan.changes.by_path))


def _print(plan: PurgePlan, shown: Sequence[ServerTrace], settings: PurgeSettings) -> None:
    for listed in plan.selection.listed:
        typer.echo(f"listed   {listed}")
    if plan.is_empty:
        typer.echo("This list was purged before; no manifest has a row of it. Nothing changes.")
        return
    counts = Counter(change.kind.value for change in plan.ordered)
    typer.echo(
        f"{counted(len(plan.selection.rows), 'row')}, "
        f"{counted(len(plan.selection.audio), 'file')} of sound; "
        f"{', '.join(f'{kind}: {count}' for kind, count in sorted(counts.items()))}"
    )
    for change in plan.ordered:
        typer.echo(str(change))
    for line in (*_reach(plan), *_not_reached(plan, settings)):
        typer.echo(line)
    for trace in shown:
        typer.echo(f"server   {trace}")
    if any(not trace.deletable for trace in shown):
        from flows.purge_server import how_to_delete_runs  # noqa: PLC0415 - Prefect's import

        typer.echo(how_to_delete_runs())
    for sent in _sent(plan):
        typer.echo(f"mlflow   {sent}")


def _reach(plan: PurgePlan) -> Iterator[str]:
    """Yield what a purge marks, what it does in stores, and what it cannot look into."""
    for model in plan.models:
        yield f"model    {model}"
    if any("trained" in model.roles for model in plan.models):
        yield (
            "Models that were trained on it stay as they are; they are marked, and refused as base "
            "and for hand-off until you accept them (--accept)."
        )
    for folder in plan.handoffs:
        yield f"hand-off {folder}: is marked; what was copied from it is not reached"
    for folder in plan.results:
        yield f"figures  {folder}: can no longer be recomputed"
    for name, changes in plan.stores.items():
        for stored in changes:
            yield f"store    {name}: {stored}"
    if plan.opaque:
        yield f"not looked into, for their format: {_first(plan.opaque)}"


def _not_reached(plan: PurgePlan, settings: PurgeSettings) -> Iterator[str]:
    """Yield what is the user's to remove, where was looked and where not."""
    is_looked_at = settings.looks_at_stores
    stores = [] if is_looked_at else purging.recorded_stores(plan.request.clinic)
    if plan.selection.outside:
        yield (
            "hard links to the recordings in folders that were not looked at: "
            f"{plan.selection.outside}; name them with --folder"
        )
    for source in plan.selection.sources:
        yield f"source   {source}: an import read it; it is not touched, yours to remove"
    sharing = plan.selection.sharing
    for row in sharing[:_SHOWN]:
        yield f"stays    {row} of its sound are in a row that goes; name it too?"
    if len(sharing) > _SHOWN:
        yield f"and {counted(len(sharing) - _SHOWN, 'more row')} that share sound and stay"
    if stores:
        yield (
            f"not looked at: {', '.join(stores)} (--no-stores). Once the rows are gone, "
            "nothing can be found there any more."
        )
    for voice in plan.selection.nameless:
        yield (
            f"voice    {voice!r}: no row of it stays, but its name does where figures name voices; "
            f'to replace it, add the line {{"voice_id": {json.dumps(voice)}}}'
        )
    if plan.request.listed is not None:
        yield f"the list {plan.request.listed.path}: is not touched, yours to remove"
    yield "not reached: backups, snapshots, and copies that were sent or downloaded"
    yield SCOPE
    if plan.beside:
        yield (
            f"not searched, since it is beside the cycles and not theirs: {_first(plan.beside)}. "
            "Copies there? Name it with --folder."
        )


def _first(paths: Sequence[Path]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(map(str, paths[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _print_refused(refused: Sequence[StoreChange]) -> None:
    for change in refused:
        typer.echo(f"left in the store: {change}", err=True)
