"""What is known before a host is rented: whether it is worth it, what it costs, what is sent."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from blocks.gpu_host import BLOCKS
from flows import resolve_parameters
from flows.config_fields import RuntimeName
from flows.parameters_without_effect import effectless_in_rental
from flows.rental import host_bundle
from tasks.common.errors import InputError
from tasks.common.parameter_names import name_of
from tasks.data.audio_checks import AudioLimits
from tasks.data.cycle_folder import Cycle, open_cycle
from tasks.data.early_checks import USUAL_RATE
from tasks.data.general_english import divide
from tasks.data.manifest import read_manifest, require_content
from tasks.data.preflight import preflight
from tasks.evaluation import baseline as baselines
from tasks.gpu_hosts import gpu_prices, upload
from tasks.gpu_hosts.host_settings import BrevSettings, SshHostSettings
from tasks.gpu_hosts.upload import UploadPlan
from tasks.models import catalog, purge_marks
from tasks.records import kept_runs, run_record
from tasks.runtimes.hardware import Gpu, Hardware
from tasks.stages import prepare
from tasks.training import remedies

if TYPE_CHECKING:
    from flows.config import CycleConfig
    from flows.rental.config import RentConfig
    from flows.rental.host_bundle import BundlePlan
    from tasks.common.effect_rules import EffectlessParameter
    from tasks.decision.gate import GateResult


@dataclass(frozen=True, slots=True)
class RentalPlan:
    """A rental that nobody has said YES to yet.

    Attributes:
        cycle: to be run on the host.
        gate: the verdict; where it refuses, there is nothing to rent for.
        provider: of the host.
        cost: what a person is shown.
        cargo: what is sent.
        bundle: the offline bundle that is sent and installed there, if one is named.
        without_effect: parameters that were set and change nothing.
    """

    cycle: Cycle
    gate: GateResult
    provider: SshHostSettings | BrevSettings
    cost: gpu_prices.CostShape
    cargo: UploadPlan
    bundle: BundlePlan | None = None
    without_effect: tuple[EffectlessParameter, ...] = ()

    def lines(self) -> list[str]:
        """What is about to happen and what it costs."""
        whose = "Brev creates" if isinstance(self.provider, BrevSettings) else "your own host runs"
        return [
            f"{whose} cycle {self.cycle.number} of {self.cycle.path.parent}",
            *self.cost.lines(),
            *(self.bundle.lines() if self.bundle else ()),
            *(f"warning: {one}" for one in self.without_effect),
            *(() if (kept := kept_runs.before_run(self.cycle.next)) is None else (kept,)),
        ]


def plan(config: RentConfig) -> RentalPlan:
    """Check everything that can be checked here; calls nobody.

    Raises:
        InputError: the cycle cannot be run on another host, or does not fit on it.
    """
    run = config.run
    cycle = open_cycle(run.cycle)
    _check_movable(run)
    config.passed_on()
    baseline = baselines.find_baseline(cycle, run.baseline)
    verdict = prepare.run_gate(
        cycle, run.base, resolve_parameters.gate_policy(run), baseline, run.method
    )
    run_record.require_free(cycle.next)
    require_content(cycle.manifest)
    provider = _host_settings(config)
    _check_programs(provider)
    base = _own_base(run.base, trust=run.trust)
    general = resolve_parameters.general_manifest(run) if verdict.passed else None
    cargo = UploadPlan(cycle, run.base, run.baseline, general, run.audio_roots)
    if verdict.passed:
        _check_rows(run, cycle, base, general)
        upload.check(cargo)
    size = None if base is None else base.stat().st_size
    parameters = gpu_prices.parameters_of(run.base if base is None else base.name, size)
    kind = gpu_prices.sku(config.sku)
    durations = [row.duration for row in read_manifest(cycle.manifest)]
    there = Hardware((Gpu(kind.gpu, kind.memory_mib),), cores=1)
    recipe = resolve_parameters.recipe_on(
        run, there, [seconds or 0.0 for seconds in durations], parameters
    )
    # A step may take as many general sentences as rows.
    passes = 2 if recipe.distillation else 1
    # Each remedy may take a little more than the first training.
    trainings = 1 + remedies.RULE.budget * config.further_trainings
    epochs = math.ceil(passes * recipe.epochs * trainings)
    work = gpu_prices.work(
        durations, run.validation_fraction, epochs, recipe.batch_size, parameters
    )
    if isinstance(provider, SshHostSettings):
        cost = gpu_prices.own_cost_shape(kind, work, config.usd_per_hour)
    else:
        cost = gpu_prices.cost_shape(kind, work, config.disk_gb, config.usd_per_hour)
    bundle = host_bundle.plan_bundle(config, provider) if verdict.passed else None
    if bundle is not None:
        cost = host_bundle.add_sending(cost, bundle, config.limit_minutes)
    without_effect = effectless_in_rental(config, run)
    return RentalPlan(cycle, verdict, provider, cost, cargo, bundle, without_effect)


def _host_settings(config: RentConfig) -> SshHostSettings | BrevSettings:
    """Return the settings of a rental's host, from the block if one is named.

    Raises:
        InputError: there is no such block.
    """
    if config.host_block is None:
        return config.host
    slug, _, name = config.host_block.partition("/")
    kind: Any = {block.get_block_type_slug(): block for block in BLOCKS}.get(slug)
    try:
        if kind is None:
            raise ValueError(slug)  # noqa: TRY301 - one message for both
        return cast("SshHostSettings | BrevSettings", kind.load(name).settings)
    except ValueError as unknown:
        raise InputError(
            f"{name_of('host_block')}: there is no block {config.host_block!r}. Fix: save one in "
            "the UI."
        ) from unknown


def _check_programs(provider: SshHostSettings | BrevSettings) -> None:
    """Refuse to ask anybody where the programs that would be called are missing."""
    if isinstance(provider, BrevSettings) and shutil.which(provider.program) is None:
        raise InputError(
            f"{provider.program}: not installed. Fix: install Brev's CLI "
            "(docs.nvidia.com/brev/cli), then `brev login`."
        )
    missing = [name for name in ("ssh", "rsync") if shutil.which(name) is None]
    if missing:
        raise InputError(
            f"rent: needs {' and '.join(missing)}. Fix: apt-get install openssh-client rsync."
        )


def _check_movable(run: CycleConfig) -> None:
    """Refuse what only makes sense on this machine."""
    if run.runtime is RuntimeName.SLURM:
        raise InputError(
            f"{name_of('run.runtime')} slurm: a rented host has no cluster. Fix: take local or "
            "container there, or `asr-flywheel run --runtime slurm` on a login node."
        )
    if run.stock_script is not None:
        raise InputError(
            f"{name_of('run.stock_script')}: is a file of this machine. Fix: leave it out, or use "
            "the container runtime, whose image has the script."
        )
    if run.track is not None:
        raise InputError(
            f"{name_of('run.track')}: the rented host sends nothing to a tracking server. Fix: "
            "leave it out, and send the run from here when it is back: asr-flywheel track CYCLE "
            "--to URI."
        )
    if run.store is not None and not run.store.startswith(("s3://", "s3-artifact-store/")):
        raise InputError(
            f"{name_of('run.store')} {run.store!r}: a folder of a host that is given back is lost. "
            "Fix: name an S3 store, or leave it out: the results come back here by themselves."
        )


def _own_base(name: str, *, trust: bool) -> Path | None:
    """The file of a base that is here already; None for one that the host will fetch."""
    if name in catalog.SHIPPED or Path(name).expanduser().is_file():
        return purge_marks.require_accepted(catalog.resolve(name, trust=trust), "as a base")
    return None


def _check_rows(run: CycleConfig, cycle: Cycle, base: Path | None, general: Path | None) -> None:
    """The preflight of cycle and general English, as far as it goes without the base."""
    recipe = resolve_parameters.full_recipe(run)
    if base is not None:
        checked = prepare.check(cycle, base, recipe, run.audio_roots, keep_style=run.keep_style)
    else:
        limits = AudioLimits(USUAL_RATE, run.audio_roots, recipe.min_duration, recipe.max_duration)
        checked = preflight(cycle.manifest, limits, None)
        checked.raise_errors()
    if general is None:
        return
    replay = resolve_parameters.replayed_sentences(run, len(checked.rows))
    if base is not None:
        prepare.general_set(
            general,
            base,
            recipe,
            checked,
            clinic=cycle.path.parent,
            audio_roots=run.audio_roots,
            replay=replay,
            chooses=run.chooses_by_general,
            keep_style=run.keep_style,
        )
        return
    manifest = general.expanduser().resolve()
    limits = AudioLimits(USUAL_RATE, run.audio_roots, recipe.min_duration, math.inf)
    found = preflight(manifest, limits, None)
    found.raise_errors()
    divide(
        manifest,
        found.rows,
        checked.rows,
        replay=replay,
        longest=recipe.max_duration,
        chooses=run.chooses_by_general,
        distills=bool(recipe.distillation),
    )
