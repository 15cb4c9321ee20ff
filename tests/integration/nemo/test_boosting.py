"""Boosted phrases: our decoding against NeMo's own, and the command from cycle to verdict."""

# ruff: noqa: PLC0415 - torch and NeMo take ten seconds that collecting tests need not pay

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asr_flywheel.demo.dataset import synthesise_cycle
from asr_flywheel.demo.terms import TERMS
from benchmarks.nemo_boosting import boost_by_nemo
from tasks.common import atomic_files
from tasks.models.catalog import embedded_path
from tasks.runtimes import hardware
from tasks.runtimes.base import ENTRY
from tasks.runtimes.failures import Fault, from_log
from tasks.runtimes.job_seconds import TimedRuntime
from tasks.runtimes.local import LocalRuntime
from tasks.transcription import boosting
from tests.support.transducer_bases_cases import KINDS
from tests.support.transducer_bases_cases import model as transducer

sys.path.insert(0, str(ENTRY))

if TYPE_CHECKING:
    from pathlib import Path

PHRASES = [term.text for term in TERMS]
DRUGS = [term for term in TERMS if term.category == "drug"]
BASES = {"ctc": embedded_path(), **{kind: transducer(kind) for kind in KINDS}}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cycle of eight drugs in four sentences each."""
    folder = tmp_path_factory.mktemp("boosting") / "cycle1"
    synthesise_cycle(folder, terms=DRUGS[:8])
    return folder


@pytest.fixture(scope="module")
def tree() -> Any:
    """NeMo's tree of the demo's terms, some of which begin alike."""
    import phrase_boosting  # type: ignore[import-not-found]
    from greedy_decoder import restore  # type: ignore[import-not-found]

    tokenizer = restore(str(embedded_path()), "cpu").tokenizer
    module = phrase_boosting.require_nemo()
    alike = ["metoprolol", "metoprolol tartrate", "toprol", "met", "prolol", "tart"]
    return module.GPUBoostingTreeModel.from_config(
        module.BoostingTreeModelConfig(
            key_phrases_list=[*PHRASES, *alike],
            context_score=1.0,
            depth_scaling=2.0,
            use_triton=False,
        ),
        tokenizer=tokenizer,
    )


def test_table_is_the_tree(tree: Any) -> None:
    """Score and next state of every label in every state are NeMo's to the last bit."""
    import phrase_boosting
    import torch

    table = phrase_boosting.ArcTable(tree)
    states = torch.arange(tree.num_states)
    with torch.inference_mode():
        scores, following = tree.advance(states)
        ours, next_states = table.advance(states)
    assert torch.equal(ours, scores)
    assert torch.equal(next_states, following)
    assert torch.equal(table.get_init_states(3), tree.get_init_states(3))


def their_texts(path: Path, audio: list[str], strength: float) -> list[str]:
    """NeMo's own boosted decoding by transcribe()."""
    from greedy_decoder import restore

    model = restore(str(path), "cpu")
    boost_by_nemo(model, PHRASES, strength)
    answer = model.transcribe(audio, batch_size=8, num_workers=0, verbose=False)
    best = answer[0] if isinstance(answer, tuple) else answer
    return [hypothesis.text for hypothesis in best]


@pytest.mark.parametrize("kind", ["ctc", pytest.param("rnnt", marks=pytest.mark.by_night), "tdt"])
def test_boosted_texts_are_nemos(kind: str, spoken: Path) -> None:
    """For CTC, RNN-T and TDT; without phrases the texts are again what they were."""
    import decoding_pipeline  # type: ignore[import-not-found]
    import phrase_boosting
    from greedy_decoder import GreedyRecognizer, restore

    rows = atomic_files.read_jsonl(spoken / "manifest.jsonl")
    audio = [str(spoken / row["audio_filepath"]) for row in rows]
    seconds = [row["duration"] for row in rows]
    ours = GreedyRecognizer(restore(str(BASES[kind]), "cpu"))
    budget = decoding_pipeline.prepare(ours, max(seconds))

    def texts(booster: Any, strength: float) -> list[str]:
        ours.boost(booster, strength)
        return list(decoding_pipeline.transcribe(ours, audio, seconds, budget))

    plain = texts(None, 0.0)
    booster = phrase_boosting.Booster(ours.model, PHRASES)
    boosted = texts(booster, 1.5)
    assert "phrases boosted by 1.5" in ours.describe()
    assert boosted != plain
    assert boosted == their_texts(BASES[kind], audio, 1.5)
    assert texts(None, 0.0) == plain
    assert "boosted" not in ours.describe()


def test_a_job_of_transcription_can_be_boosted(spoken: Path, tmp_path: Path) -> None:
    """The program takes phrases and strength with a job."""
    rows = atomic_files.read_jsonl(spoken / "manifest.jsonl")[:8]
    audio = {
        "audio": [str(spoken / row["audio_filepath"]) for row in rows],
        "durations": [row["duration"] for row in rows],
    }
    model = str(embedded_path())
    boosting = {"phrases": PHRASES, "strength": 1.5}
    request = tmp_path / "request.json"
    atomic_files.write_json(
        request,
        {
            "jobs": [
                {"model": model, "sets": [{**audio, "out": str(tmp_path / "plain")}]},
                {
                    "model": model,
                    "boosting": boosting,
                    "sets": [{**audio, "out": str(tmp_path / "boosted")}],
                },
            ]
        },
    )
    subprocess.run([sys.executable, str(ENTRY / "transcribe.py"), str(request)], check=True)
    plain, boosted = (
        [row["hyp"] for row in atomic_files.read_jsonl(tmp_path / name)]
        for name in ("plain", "boosted")
    )
    assert boosted != plain
    assert boosted == their_texts(embedded_path(), audio["audio"], 1.5)


def test_a_nemo_without_boosting_ends_with_a_fault_of_its_own(tmp_path: Path) -> None:
    """Before a model is loaded or a busy GPU is waited for; the message says which NeMo has it."""
    request = tmp_path / "request.json"
    busy = tmp_path / "gpu.lock"
    content = {"model": "/absent.nemo", "lists": {}, "sets": [], "answers": str(tmp_path)}
    atomic_files.write_json(request, {**content, "locks": str(tmp_path), "locks_wait_s": 0})
    # This NeMo's own modules import the tree: it goes once they have.
    code = (
        "import sys\n"
        f"sys.argv = ['boost_strengths.py', {str(request)!r}]\n"
        f"sys.path.insert(0, {str(ENTRY)!r})\n"
        "import boost_strengths, gpu_locks\n"
        "gpu_locks.names = lambda: ['gpu']\n"
        "from nemo.collections.asr.parts import context_biasing\n"
        "del context_biasing.boosting_graph_batched\n"
        "sys.modules[context_biasing.__name__ + '.boosting_graph_batched'] = None\n"
        "boost_strengths.main()\n"
    )
    with busy.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert "has no boosting tree" in ended.stderr
    assert from_log(ended.stderr) is Fault.NO_BOOSTING


def test_the_check_of_nemo_says_what_its_seconds_went_into(tmp_path: Path) -> None:
    """A job that did not would leave a boosted run's computing seconds unknown."""
    runtime = TimedRuntime(LocalRuntime(hardware.detect()))
    boosting.check_nemo(tmp_path / "work", runtime)
    (job,) = runtime.jobs
    assert set(job.phases) == {"start", "import"}
    assert job.computing == 0


def test_command_chooses_judges_and_writes(spoken: Path, tmp_path: Path) -> None:
    """A formulary is boosted at a chosen strength; boost.json and phrases.txt say all of it."""
    formulary = tmp_path / "formulary.txt"
    formulary.write_text(
        "\ufeff# ours\n" + "\n".join(term.text.title() for term in DRUGS) + "\n\nβ-blocker\n",
        encoding="utf-8",
    )
    command = [
        *(sys.executable, "-m", "asr_flywheel", "boost", str(spoken), "--base", "embedded"),
        *("--phrases", str(formulary), "--general", "none", "--json"),
        *("--fraction", "0.2", "--selection-share", "0.45"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    written = atomic_files.read_json(spoken / "boost.json")
    assert said == written
    assert written["schema"] == "asr-flywheel-boost/1"
    phrases = (spoken / "phrases.txt").read_text().splitlines()
    assert phrases == [term.text for term in DRUGS]
    judged = written["lists"]["judged list"]
    assert judged["unspellable"] == [["β-blocker", "β"]]
    assert judged["rewritten"][0] == [DRUGS[0].text.title(), DRUGS[0].text]
    choice = written["boosted"]["judged list"]["choice"]
    if written["rows"]["selection"] >= 20:
        assert choice["chosen"]
        assert {one["strength"] for one in choice["candidates"]} >= {0.25, 1.0, 2.0}
    else:
        assert not choice["chosen"]
    assert written["decision"]["decision"] in {"keep", "grow", "discard", "inconclusive"}
    ker = [
        figures["ker"]["drug"]["rate"]
        for figures in (written["unboosted"], written["boosted"]["judged list"])
    ]
    assert ker[1] <= ker[0]
