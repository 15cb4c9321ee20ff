"""The model card of a hand-off: what the model is, what it was measured on, what it is not for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.common.counted import agreed, counted
from tasks.decision.decision_table import Verdict
from tasks.evaluation.hypotheses import Partition
from tasks.models.catalog import SHIPPED
from tasks.serving.riva_build import DOCUMENTATION, SUPPORT_MATRIX
from tasks.serving.word_boosting import REQUEST_NAME, describe_support, scores_for
from tasks.training.remedies import describe_attempts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasks.evaluation.hypotheses import Hypothesis
    from tasks.models.catalog import Base
    from tasks.models.decoder_targets import Target

_INTERVAL = " ci"
_TITLES = {"ker_a": "KER of the base", "ker_b": "KER tuned", "ci": "95 % interval"}
_FEW_ROWS = 100
"""Held-out rows under which the card says that the figures are noisy (specification, 4b)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The content of a card.

    Attributes:
        record: run.json.
        info: training_run_info.json.
        decision: decision.json.
        headline: section 1 of the leaderboard, held-out rows first.
        rows: the tuned model's evaluation.
        base: what is known of the base, or None.
        decoder: the model's own.
        target: how it is served by Riva.
        serving: how it is served otherwise; "" for Riva.
    """

    record: Mapping[str, Any]
    info: Mapping[str, Any]
    decision: Mapping[str, Any]
    headline: Sequence[Mapping[str, Any]]
    rows: Sequence[Hypothesis]
    base: Base | None
    decoder: str
    target: Target
    serving: str = ""

    @property
    def kept(self) -> bool:
        """True if the decision was to keep the model."""
        return bool(self.decision["decision"] == Verdict.KEEP)


def render(facts: Facts) -> str:
    """Render the card as Markdown."""
    parts = [
        f"# {facts.info['base']['name']}, tuned on clinical terms",
        *([] if facts.kept else [_not_kept(facts)]),
        _table(_identity(facts)),
        "## Figures",
        (
            "Held-out rows were never trained on: theirs are the figures to trust. Rows that were "
            "trained on flatter, and are labelled."
        ),
        _figures(facts.headline),
        "### Difference to the base, by category, on held-out rows",
        _figures([{"category": name, **row} for name, row in facts.decision["by"].items()]),
        f"Decision: **{facts.decision['decision']}**, by {facts.decision['basis']} rows.",
        _list(facts.decision["reasons"]),
        *_shipped(facts),
        *_boosting(facts),
        "## Data",
        _table(_data(facts)),
        "## Recipe",
        _table(_recipe(facts.info)),
        "## Limits",
        _list(_limits(facts)),
        "## Serving",
        facts.serving or _describe_riva(facts.target),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_riva(target: Target) -> str:
    return (
        f"`{target.flag}` in a container of the family `{target.family}`: "
        f"`deploy.sh` has the commands. The containers' names are in {SUPPORT_MATRIX}; the "
        f"last word on riva-build's options for a model is {DOCUMENTATION} and "
        "`riva-build … -h` inside the container (it may name the greedy decoder `greedy`). "
        "Afterwards `asr-flywheel validate-serving` says whether what is served is what was "
        "measured."
    )


def _not_kept(facts: Facts) -> str:
    return (
        f"> **Handed on although the decision was {facts.decision['decision']!r}, not 'keep'.** "
        "By the held-out rows this model is not shown to be better than its base."
    )


def _identity(facts: Facts) -> dict[str, str]:
    base, info = facts.base, facts.info
    licence = "not known: ask whoever made the base"
    languages = "not known"
    if base is not None:
        licence, languages = base.licence or licence, ", ".join(base.languages) or languages
    return {
        "SHA-256 of adapted_model.nemo": f"`{info['model_sha256']}`",
        "Decoder": facts.decoder,
        "Base": f"{info['base']['name']}, SHA-256 `{info['base']['sha256']}`",
        "Parameters": f"{info['base']['parameters']:,}".replace(",", " "),
        "Licence of the base": licence,
        "Languages": languages,
        "Source of the base": base.source if base is not None and base.source else "not known",
        "Tuned": str(facts.record["finished"]),
    }


def _shipped(facts: Facts) -> list[str]:
    """Say what was mixed; nothing for a run of a version that mixed nothing."""
    shipping = facts.info.get("shipping")
    if not shipping:
        return []
    independence = "The held-out rows chose neither the mixture nor the checkpoint."
    if facts.record.get("config", {}).get("two_part"):
        independence = (
            "The held-out rows chose the checkpoint as well (--two-part): their figures flatter it."
        )
    lines = {
        "Why": shipping["reason"],
        "Selection rows": str(facts.info["dataset"].get("selection_rows", 0)),
        "Checkpoint": str(facts.info.get("checkpoint", "not known")),
    }
    statement = "The tuned model is shipped as training left it: nothing was mixed."
    if shipping["mixed"]:
        statement = (
            "Mixed weight by weight, in fp32, of the base's weights and the tuned model's, "
            f"with the value {shipping['value']:g}."
        )
        lines = {
            "Value": f"{shipping['value']:g} (0 is the base, 1 the tuned model)",
            "SHA-256 of the base": f"`{shipping['base_sha256']}`",
            "SHA-256 of the tuned model": f"`{shipping['tuned_sha256']}`",
            **lines,
        }
    if tried := describe_attempts(shipping.get("attempts", ())):
        lines["Trainings"] = " ".join(tried)
    if shipping["chosen"]:
        lines["Rule"] = str(shipping["rule"].get("text", "docs/verdict.md has it"))
    return ["## What is shipped", f"{statement} {independence}", _table(lines)]


def _boosting(facts: Facts) -> list[str]:
    """Say what boosted phrases add and cost; nothing for a run that boosted none."""
    boosting = facts.decision.get("boosting")
    if not boosting or "models" not in boosting:
        return []
    strength = boosting["strength"]["tuned boosted"]
    scores = ", ".join(f"{score:g}" for score in scores_for(facts.target.flag))
    return [
        "## Phrase boosting",
        (
            f"Measured by NeMo, greedily, with {boosting['list']}. The strength of the tuned model "
            f"is {strength:g}. Figures are of the rows that judge."
        ),
        _four_models(boosting["models"]),
        _list([*boosting["findings"], *_boosting_costs(boosting["models"])]),
        (
            f"Served: {describe_support(facts.target.flag)}. NeMo's strength has no known "
            f"counterpart among Riva's scores: `{REQUEST_NAME}` begins with the weakest, and "
            f"`asr-flywheel validate-serving … --phrases phrases.txt` measures {scores} on the "
            "server."
        ),
    ]


def _four_models(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Make a table of base and tuned model with and without phrases."""
    lines = []
    for name, figures in models.items():
        line: dict[str, Any] = {"model": name}
        for category, share in figures["ker"].items():
            line |= {f"KER {category}": share["rate"], f"KER {category} ci": share["ci"]}
        for key, title in (("fkr", "FKR"), ("wer", "WER"), ("general_wer", "general WER")):
            line |= {title: figures[key]["rate"], f"{title} ci": figures[key]["ci"]}
        lines.append(line)
    return _figures(lines)


def _boosting_costs(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    plain, boosted = models["tuned"], models["tuned boosted"]
    gains = [
        f"{category} {_cell(share['rate'])} → {_cell(boosted['ker'][category]['rate'])}"
        for category, share in plain["ker"].items()
    ]
    costs = [f"Boosting the tuned model changes KER: {', '.join(gains)}."]
    for key, rows in (("fkr", "held-out rows"), ("general_fkr", "general sentences")):
        before, after = plain[key], boosted[key]
        if before["n"]:
            costs.append(
                f"It writes a term that nobody said in {after['hits']} of {after['n']} {rows}; "
                f"without phrases the model does in {before['hits']}."
            )
    return costs


def _chose(info: Mapping[str, Any]) -> dict[str, str]:
    rows = info["dataset"].get("selection_rows")
    return {} if rows is None else {"Selection rows, to choose by": str(rows)}


def _data(facts: Facts) -> dict[str, str]:
    preflight = facts.record["preflight"]
    lines = {
        "Rows": f"{preflight['rows']}, {preflight['audio_seconds'] / 60:.1f} minutes of audio",
        "Trained on": str(facts.info["dataset"]["train_rows"]),
        **_chose(facts.info),
        "Held out": str(facts.info["dataset"]["validation_rows"]),
        "SHA-256 of the manifest": f"`{preflight['manifest_sha256']}`",
    }
    for field, name in (
        ("entity_category", "Categories"),
        ("noise_level", "Noise"),
        ("context_type", "Contexts"),
        ("ipa_source", "Pronunciation sources"),
    ):
        counts = Counter(value for row in facts.rows for value in _values(row, field))
        lines[name] = ", ".join(f"{value} {n}" for value, n in counts.most_common())
    lines["Voices"] = str(len({row.voice_id for row in facts.rows if row.voice_id}))
    lines["Terms"] = str(len({item.term for row in facts.rows for item in row.flagged}))
    return lines


def _values(row: Hypothesis, field: str) -> tuple[str, ...]:
    """Return a row's values of a field: several categories, where it has several terms."""
    if field == "entity_category":
        return row.categories or ("(none)",)
    return (getattr(row, field) or "(none)",)


def _recipe(info: Mapping[str, Any]) -> dict[str, str]:
    recipe = info["recipe"]
    return {
        "Recipe": f"{recipe['name']}: stock full-model fine-tuning, no adapters",
        **{
            name: str(recipe[key])
            for name, key in (
                ("Peak learning rate", "lr"),
                ("Warm-up steps", "warmup_steps"),
                ("Epochs, at most", "epochs"),
                ("Effective batch", "effective_batch"),
                ("Seed", "seed"),
            )
            if key in recipe
        },
        "Precision": str(info["runtime"]["precision"]),
        "Best epoch": str(info["best_epoch"] + 1),
        "GPUs": ", ".join(info["runtime"]["gpus"]) or "none",
        "NeMo, torch": f"{info['runtime']['nemo']}, {info['runtime']['torch']}",
    }


def _limits(facts: Facts) -> list[str]:
    held_out = sum(row.part is Partition.HELD_OUT for row in facts.rows)
    guardrail = facts.decision.get("guardrail")
    limits = [
        (
            "It was measured on the cycle's own kind of speech: other speakers, rooms, "
            "microphones and terms than the table above lists are not covered by the figures."
        ),
        (
            "Tuning may have cost general vocabulary (catastrophic forgetting): score it on "
            "everyday speech of yours before it replaces the base."
            if guardrail is None
            else "General English was checked on the guardrail set alone; the decision's reasons "
            "above say what it cost there."
        ),
        "It writes what it hears; it does not check a dose, a drug or a negation. A person must.",
    ]
    if held_out < _FEW_ROWS:
        limits.insert(
            0,
            f"Only {counted(held_out, 'row')} {agreed(held_out, 'was', 'were')} held out: "
            f"{agreed(held_out, 'its', 'their')} figures move by chance as well.",
        )
    if facts.base is not None and facts.base.languages == ("en",):
        limits.append("English only: another language needs another base and a new validation.")
    if facts.base is not None and facts.base.name in SHIPPED:
        limits.append("Its base is this project's demonstration model: not for any clinical use.")
    return limits


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """Make a table of the figures in the cycle's files; an interval stands with its figure."""
    if not rows:
        return "None."
    names = list(dict.fromkeys(name for row in rows for name in row))
    flat = [
        name
        for name in names
        if not name.endswith(_INTERVAL) and not any(isinstance(r.get(name), dict) for r in rows)
    ]
    words = [name for name in flat if any(isinstance(row.get(name), str) for row in rows)]
    columns = [*words, *(name for name in flat if name not in words)]
    lines = [
        "| " + " | ".join(_TITLES.get(name, name) for name in columns) + " |",
        "|" + " --- |" * len(words) + " ---: |" * (len(columns) - len(words)),
        *("| " + " | ".join(_figure(row, name) for name in columns) + " |" for row in rows),
    ]
    return "\n".join(lines)


def _figure(row: Mapping[str, Any], name: str) -> str:
    interval = row.get(f"{name}{_INTERVAL}")
    return f"{_cell(row.get(name))} ({_cell(interval)})" if interval else _cell(row.get(name))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list | tuple):
        return " to ".join(_cell(item) for item in value)
    return str(value).replace("|", "\\|")


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
