"""The stock script with our override list on the 617 M Parakeet-TDT graph, batch by batch.

    python -m benchmarks.sft_on_gpu --stock-script …/speech_to_text_finetune.py --out FILE.json

The weights are random, so that no download is needed; time and memory depend on the graph alone.
Two sets of rows: the demo's (about 3 s each), whose loss must fall, and rows as long as the recipe
lets through (just under 20 s), which say what fits. Needs a GPU, NeMo and hibari-tts.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_flywheel.demo.benchmark import synthesise_cycle
from tasks import files, hardware, sft, stages
from tasks.cycle import Cycle, open_cycle
from tasks.faults import FaultError
from tasks.recipes import Recipe
from tasks.runtime import LocalRuntime

VOCABULARY = 1024
LONGEST_S = 19.8


def tdt_config(tokenizer: Path) -> dict[str, Any]:
    """FastConformer-TDT with the published dimensions of Parakeet TDT 0.6B v2."""
    durations = [0, 1, 2, 3, 4]
    data = {
        "manifest_filepath": None,
        "sample_rate": 16_000,
        "batch_size": 4,
        "shuffle": False,
        "num_workers": 0,
        "min_duration": 0.1,
        "max_duration": 20.0,
    }
    return {
        "sample_rate": 16_000,
        "compute_eval_loss": False,
        "log_prediction": True,
        "rnnt_reduction": "mean_volume",
        "skip_nan_grad": False,
        "model_defaults": {
            "enc_hidden": 1024,
            "pred_hidden": 640,
            "joint_hidden": 640,
            "tdt_durations": durations,
            "num_tdt_durations": len(durations),
        },
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "train_ds": {**data, "shuffle": True},
        "validation_ds": dict(data),
        "test_ds": dict(data),
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16_000,
            "normalize": "per_feature",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": 128,
            "n_fft": 512,
            "frame_splicing": 1,
            "dither": 1e-5,
            "pad_to": 0,
        },
        "spec_augment": {
            "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
            "freq_masks": 2,
            "time_masks": 10,
            "freq_width": 27,
            "time_width": 0.05,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder",
            "feat_in": 128,
            "feat_out": -1,
            "n_layers": 24,
            "d_model": 1024,
            "use_bias": False,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 256,
            "causal_downsampling": False,
            "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos",
            "n_heads": 8,
            "att_context_size": [-1, -1],
            "xscaling": False,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": 9,
            "conv_norm_type": "batch_norm",
            "dropout": 0.1,
            "dropout_pre_encoder": 0.1,
            "dropout_emb": 0.0,
            "dropout_att": 0.1,
        },
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 640, "pred_rnn_layers": 2, "t_max": None, "dropout": 0.2},
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": True,
            "fused_batch_size": 4,
            "jointnet": {"joint_hidden": 640, "activation": "relu", "dropout": 0.2},
            "num_extra_outputs": len(durations),
        },
        "decoding": {
            "strategy": "greedy_batch",
            "model_type": "tdt",
            "durations": durations,
            "greedy": {"max_symbols": 10},
        },
        "loss": {
            "loss_name": "tdt",
            "tdt_kwargs": {
                "fastemit_lambda": 0.0,
                "clamp": -1.0,
                "durations": durations,
                "sigma": 0.02,
                "omega": 0.1,
            },
        },
        "optim": {"name": "adamw", "lr": 3e-4, "betas": [0.9, 0.98], "weight_decay": 1e-3},
    }


def make_model(folder: Path) -> Path:
    """The graph with random weights as a .nemo."""
    path = folder / "tdt-617m-random.nemo"
    build_model(tdt_config(make_tokenizer(folder))).save_to(str(path))
    return path


def build_model(config: dict[str, Any]) -> Any:  # noqa: ANN401 - NeMo ships no types
    """A graph with random weights, always the same ones."""
    import torch  # noqa: PLC0415 - the orchestrator's tasks are imported without it
    from nemo.collections.asr.models import EncDecRNNTBPEModel  # noqa: PLC0415
    from omegaconf import OmegaConf  # noqa: PLC0415

    torch.manual_seed(0)
    return EncDecRNNTBPEModel(cfg=OmegaConf.create(config))


def make_tokenizer(folder: Path) -> Path:
    """A tokenizer that knows made-up words."""
    from nemo.collections.common.tokenizers.sentencepiece_tokenizer import (  # noqa: PLC0415
        create_spt_model,
    )

    rng = np.random.default_rng(0)
    syllables = [c + v + e for c in "bcdfghklmnprstvwz" for v in "aeiou" for e in ("", "n", "l")]
    text = folder / "text.txt"
    text.write_text(
        "\n".join(
            " ".join("".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(12))
            for _ in range(4000)
        )
        + "\nabcdefghijklmnopqrstuvwxyz '\n",
        encoding="utf-8",
    )
    tokenizer = folder / "tokenizer"
    create_spt_model(
        str(text),
        vocab_size=VOCABULARY,
        sample_size=-1,
        do_lower_case=False,
        tokenizer_type="bpe",
        output_dir=str(tokenizer),
    )
    return tokenizer


def long_rows(source: Cycle, folder: Path, count: int) -> Cycle:
    """A cycle of rows just under the recipe's limit, joined from another cycle's rows."""
    rows = files.read_jsonl(source.manifest)
    audio = [soundfile.read(source.path / row["audio_filepath"], dtype="int16")[0] for row in rows]
    target = folder / "cycle1"
    (target / "audio").mkdir(parents=True)
    made = []
    place = 0
    for number in range(count):
        first = rows[place % len(rows)]
        pieces: list[np.ndarray[Any, Any]] = []
        words: list[str] = []
        while sum(map(len, pieces)) + len(audio[place % len(rows)]) < LONGEST_S * 16_000:
            pieces.append(audio[place % len(rows)])
            words.append(rows[place % len(rows)]["text"])
            place += 1
        joined = np.concatenate(pieces)
        joined = np.pad(joined, (0, int(LONGEST_S * 16_000) - len(joined)))
        name = f"audio/{number:04}.wav"
        soundfile.write(target / name, joined, 16_000)
        made.append(
            {
                **first,
                "audio_filepath": name,
                "text": " ".join(words),
                "duration": len(joined) / 16_000,
            }
        )
    files.write_jsonl(target / "manifest.jsonl", made)
    return open_cycle(target)


@dataclass(frozen=True)
class Case:
    """One run: which rows, how many of them a batch."""

    rows: str
    cycle: Cycle
    batch: int
    epochs: int


def run(case: Case, base: Path, runtime: LocalRuntime, logs: Path) -> dict[str, Any]:
    """Train one case by the same code path as a real cycle; its figures, or its fault.

    The run's log goes into ``logs``.
    """
    recipe = Recipe(batch_size=case.batch, epochs=case.epochs)
    checked = stages.check(case.cycle, base, recipe)
    data = stages.split(case.cycle, checked, 0.2, 42)
    name = f"{case.rows}-{case.batch}"
    request = sft.SftRequest(
        base=base,
        base_name="tdt-617m-random",
        data=data,
        recipe=recipe,
        model_dir=case.cycle.path / "models" / name,
        audio_roots=(case.cycle.path,),
        key=name,
    )
    started = time.monotonic()
    found: dict[str, Any] = {"rows": case.rows, "batch": case.batch, "train": len(data.split.train)}

    try:
        result = sft.train(request, runtime, lambda _: None)
    except FaultError as failed:
        shutil.rmtree(request.work_dir, ignore_errors=True)
        return {**found, "fault": failed.fault.value, "wall_s": round(time.monotonic() - started)}
    info = files.read_json(result.info)
    steps = [
        event
        for event in files.read_jsonl(request.model_dir / sft.EVENTS_NAME)
        if event["event"] == "step"
    ]
    losses = [step["loss"] for step in steps]
    found |= {
        "parameters": info["base"]["parameters"],
        "epochs": [
            {"train_loss": epoch.train_loss, "val_wer": epoch.val_wer, "seconds": epoch.seconds}
            for epoch in result.epochs
        ],
        "batches": len(steps),
        # The first batches compile and warm up.
        "median_batch_s": round(statistics.median(step["seconds"] for step in steps[3:]), 4),
        "peak_gpu_memory_mib": info["peak_gpu_memory_mib"],
        "loss_first_5": round(statistics.mean(losses[:5]), 3),
        "loss_last_5": round(statistics.mean(losses[-5:]), 3),
        "wall_s": round(time.monotonic() - started),
        "overrides": info["overrides"],
        "versions": {"nemo": info["runtime"]["nemo"], "torch": info["runtime"]["torch"]},
    }
    shutil.copy(request.model_dir / sft.LOG_NAME, logs / f"{name.replace(' ', '-')}.log")
    shutil.rmtree(request.model_dir)
    return found


def main() -> None:
    """Make model and rows, run each batch size, print one line a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock-script", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--long-batches", type=int, nargs="*", default=[4, 16, 32, 64])
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    host = hardware.detect()
    runtime = LocalRuntime(host, given.stock_script)
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "gpus": [gpu.name for gpu in host.gpus],
        "driver": host.gpus[0].driver,
        "memory_mib": host.smallest_gpu_mib,
        "python": platform.python_version(),
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        base = make_model(folder)
        print(f"model made, {base.stat().st_size >> 20} MiB", flush=True)
        synthesise_cycle(folder / "short" / "cycle1")
        short = open_cycle(folder / "short" / "cycle1")
        long = long_rows(short, folder / "long", count=5 * max(given.long_batches, default=1))
        print("rows made", flush=True)
        cases = [Case("demo", short, batch, given.epochs) for batch in given.batches]
        cases += [Case("20 s", long, batch, 1) for batch in given.long_batches]
        for case in cases:
            found = run(case, base, runtime, given.out.parent)
            report["runs"].append(found)
            print({key: value for key, value in found.items() if key != "overrides"}, flush=True)
            given.out.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
