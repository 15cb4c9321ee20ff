"""The base's own outputs on general English, taught beside a training's clinical rows."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tasks.models.catalog import embedded_path
from tasks.runtimes.base import ENTRY
from tasks.training import recipes
from tests.support import factories, nemo_models, tiny_training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEECH = embedded_path().with_name("speech.wav")


@pytest.fixture(scope="module")
def distillation() -> Iterator[Any]:
    """The program's part."""
    sys.path.insert(0, str(ENTRY))
    import distillation  # type: ignore[import-not-found]  # noqa: PLC0415 - as the programs do

    yield distillation
    sys.path.remove(str(ENTRY))


@pytest.fixture(scope="module")
def freeze(distillation: Any) -> Any:
    """What a recipe with a frozen share does to a model."""
    import frozen_layers  # type: ignore[import-not-found]  # noqa: PLC0415 - as the programs do

    return frozen_layers.freeze


def restored(kind: str) -> Any:
    """An embedded base, in training."""
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - takes ten seconds

    path = embedded_path().with_name(f"embedded_{kind}.nemo")
    return ASRModel.restore_from(str(path), map_location="cpu").train()


@pytest.fixture(scope="module", params=["ctc", "rnnt", "tdt"])
def model(request: pytest.FixtureRequest) -> Any:
    """An embedded base, in training."""
    return restored(request.param)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Speech, and noise of another length, which a batch pads."""
    folder = tmp_path_factory.mktemp("general")
    noise = folder / "noise.wav"
    factories.write_wav(noise, 1.3, seed=3)
    return [str(noise), str(SPEECH)]


def test_every_sentence_is_taken_once_before_any_is_again(distillation: Any) -> None:
    """Over steps and GPUs, whatever a step takes; a step draws the same after a break."""
    for rows in (1, 3, 7, 20):
        drawn = [place for turn in range(21) for place in distillation.draw(7, rows, turn, 5)]
        for start in range(0, len(drawn) - 7, 7):
            assert sorted(drawn[start : start + 7]) == list(range(7))
    assert distillation.draw(300, 4, 80, 5) == distillation.draw(300, 4, 80, 5)
    assert distillation.draw(300, 4, 80, 5) != distillation.draw(300, 4, 80, 6)


def test_a_path_passes_each_frame_and_each_label(distillation: Any) -> None:
    """Labels before the blank that leaves their frame; a leap's frames are passed as well."""
    nodes = distillation.path_nodes(4, [0, 2, 2])
    assert nodes == [(0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (2, 3), (3, 3)]
    assert distillation.path_nodes(2, []) == [(0, 0), (1, 0)]


def test_the_base_diverges_from_itself_by_nothing_and_changed_by_something(
    distillation: Any, model: Any, recordings: list[str]
) -> None:
    """The gradient of the divergence leads back: a small step along it lowers the divergence."""
    part = distillation.TrainedPart(model.encoder)
    targets = distillation.soft_targets(model, part, recordings)
    assert model.training
    assert part.below == 0
    with distillation.evaluation_mode(model):
        assert float(distillation.divergence(model, part, targets)) == pytest.approx(0, abs=1e-4)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    torch.manual_seed(1)
    trained = list(model.parameters())
    with torch.no_grad():
        for one in trained:
            one.add_(0.02 * one.std(correction=0) * torch.randn_like(one))
    with distillation.evaluation_mode(model):
        changed = distillation.divergence(model, part, targets)
        gradients = torch.autograd.grad(changed, trained, allow_unused=True)
        squares = sum(float((one**2).sum()) for one in gradients if one is not None)
        with torch.no_grad():
            for one, gradient in zip(trained, gradients, strict=True):
                if gradient is not None:
                    one.sub_(0.1 * float(changed.detach()) / squares * gradient)
            later = float(distillation.divergence(model, part, targets))
    model.load_state_dict(before)
    assert float(changed.detach()) > 0.01
    # A tenth of it by the tangent.
    assert later == pytest.approx(0.9 * float(changed.detach()), rel=0.03)


def test_outputs_are_those_of_the_model_that_decodes(
    distillation: Any, model: Any, recordings: list[str]
) -> None:
    """Greedy labels of the nodes spell what NeMo writes; each recording is computed as if alone."""
    part = distillation.TrainedPart(model.encoder)
    together = distillation.soft_targets(model, part, recordings)
    for path, one in zip(recordings, together, strict=True):
        (alone,) = distillation.soft_targets(model, part, [path])
        for mine, other in zip(one.outputs, alone.outputs, strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=2e-3)
        best = one.outputs[0].argmax(-1).tolist()
        blank = one.outputs[0].shape[1] - 1
        if len(one.nodes):
            assert [label for label in best if label != blank] == one.labels.tolist()
            assert one.nodes[-1, 1] == len(one.labels)
    tokens = list(together[1].labels.tolist() or best)
    if not len(together[1].nodes):
        pairs = zip(tokens, [blank, *tokens], strict=False)
        tokens = [label for label, previous in pairs if label not in {previous, blank}]
    model.eval()
    written = model.transcribe([str(SPEECH)], verbose=False)[0].text
    model.train()
    assert model.tokenizer.ids_to_text(tokens) == written
    assert len(written.split()) > 2


def test_what_it_computes_leaves_the_model_as_it_was(distillation: Any) -> None:
    """Modes that differ among a model's parts come back; recurrent layers stay in training."""
    model = torch.nn.Sequential(
        torch.nn.Dropout(0.5), torch.nn.LSTM(2, 2, 2, dropout=0.3), torch.nn.BatchNorm1d(2)
    )
    model[2].eval()
    with pytest.raises(KeyError), distillation.evaluation_mode(model):  # noqa: PT012
        assert [one.training for one in model] == [False, True, False]
        assert model[1].dropout == 0.0
        raise KeyError
    assert [one.training for one in model] == [True, True, False]
    assert model[1].dropout == 0.3


@pytest.mark.parametrize("kind", ["ctc", "rnnt", "tdt"])
def test_frozen_layers_are_computed_once_and_the_gradient_is_the_same(
    distillation: Any, freeze: Any, recordings: list[str], kind: str
) -> None:
    """Of what is trained; the part has the model's own parameters, whatever becomes of them."""
    model = restored(kind)
    whole = distillation.TrainedPart(model.encoder)
    assert whole.below == 0
    freeze(model, 0.78)
    part = distillation.TrainedPart(model.encoder)
    assert (part.below, len(part.encoder.layers), len(model.encoder.layers)) == (7, 2, 9)
    few = distillation.soft_targets(model, part, recordings)
    all_of_them = distillation.soft_targets(model, whole, recordings)
    assert few[0].features.shape[1] == model.encoder.d_model
    for one, other in zip(few, all_of_them, strict=True):
        for mine, theirs in zip(one.outputs, other.outputs, strict=True):
            assert torch.equal(mine, theirs)
    trained = [one for one in model.parameters() if one.requires_grad]
    torch.manual_seed(1)
    with torch.no_grad():
        for one in trained:
            one.add_(0.02 * one.std(correction=0) * torch.randn_like(one))

    def gradient(of: Any, targets: Any) -> tuple[torch.Tensor, ...]:
        with distillation.evaluation_mode(model):
            loss = distillation.divergence(model, of, targets)
        return torch.autograd.grad(loss, trained)

    found, expected = gradient(part, few), gradient(whole, all_of_them)
    largest = max(float(one.abs().max()) for one in expected)
    assert largest > 0.1
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-5 * largest)


def test_what_moves_is_not_left_out(distillation: Any, freeze: Any) -> None:
    """Statistics of batch norms that are no longer the base's, and positions that are added."""
    model = restored("ctc")
    freeze(model, 0.78)
    norm = model.encoder.layers[3].conv.batch_norm
    norm.momentum = 0.1
    assert distillation.TrainedPart(model.encoder).below == 3
    model.encoder.self_attention_model = "abs_pos"
    assert distillation.TrainedPart(model.encoder).below == 0


@pytest.fixture
def callback(distillation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A callback of three sentences, whose divergence is half of the square of the weights."""
    manifest = tmp_path / "distillation.jsonl"
    manifest.write_text("".join(json.dumps({"audio_filepath": f"{n}.wav"}) + "\n" for n in "abc"))
    monkeypatch.setattr(distillation, "divergence", lambda model, *_: 0.5 * (model.weight**2).sum())
    monkeypatch.setattr(
        distillation,
        "soft_targets",
        lambda model, _, paths: [(path, model.weight.detach().clone()) for path in paths],
    )
    return distillation.DistillationCallback(str(manifest), 10.0, 2, 42)


def test_targets_are_the_bases_also_where_a_checkpoint_is_gone_on_from(callback: Any) -> None:
    """Lightning loads it after setup; the training goes on from its weights."""
    model: Any = torch.nn.Linear(2, 1)
    model.encoder = torch.nn.Module()
    model.device = torch.device("cpu")
    base = model.weight.detach().clone()
    callback.setup(None, model, "fit")
    with torch.no_grad():
        model.weight.add_(1)
    callback.on_train_start(None, model)
    assert [name for name, _ in callback._sentences] == ["a.wav", "b.wav", "c.wav"]
    assert all(torch.equal(weight, base) for _, weight in callback._sentences)
    assert torch.equal(model.weight, base + 1)


@pytest.mark.parametrize(("own", "added"), [(100.0, 30.0), (0.03, 0.03)])
def test_its_gradient_is_no_longer_than_that_of_the_rows(
    callback: Any, own: float, added: float
) -> None:
    """Weighed as asked for, or as long; what is not trained gets none."""
    model: Any = torch.nn.Linear(1, 1)
    model.encoder = torch.nn.Module()
    model.device = torch.device("cpu")
    torch.nn.init.constant_(model.weight, 3.0)
    callback.setup(None, model, "fit")
    callback.on_train_start(None, model)
    model.weight.grad = torch.full((1, 1), -own)
    model.bias.requires_grad_(False)
    trainer = SimpleNamespace(
        global_step=5,
        world_size=1,
        global_rank=0,
        precision_plugin=SimpleNamespace(forward_context=torch.enable_grad),
        strategy=SimpleNamespace(reduce=lambda gradient, reduce_op: gradient),
    )
    callback.on_before_optimizer_step(trainer, model, None)
    assert float(model.weight.grad) == pytest.approx(added - own, abs=1e-6)
    assert model.bias.grad is None


def test_a_training_by_the_stock_script_keeps_closer_to_the_base(
    distillation: Any, tmp_path: Path
) -> None:
    """The same training without it, by the divergence on the sentences that it was given."""
    from nemo.collections.asr.models import ASRModel  # noqa: PLC0415 - takes ten seconds

    cycle = tiny_training.make_cycle(tmp_path / "clinic")
    general = tiny_training.make_general(tmp_path / "general")
    paths = [json.loads(line)["audio_filepath"] for line in general.read_text().splitlines()]
    base = ASRModel.restore_from(str(embedded_path()), map_location="cpu")
    part = distillation.TrainedPart(base.encoder)
    paths = [str(general.parent / path) for path in paths]
    targets = distillation.soft_targets(base, part, paths)
    found = {}
    for weight in (0.0, 1.0):
        recipe = recipes.recipe("distilled").model_copy(
            update={"epochs": 3, "lr": 1e-3, "distillation": weight}
        )
        tuned = tiny_training.tune(cycle, embedded_path(), recipe, general)
        base.load_state_dict(nemo_models.weights(tuned.model))
        with torch.no_grad(), distillation.evaluation_mode(base):
            found[weight] = float(distillation.divergence(base, part, targets))
    log = (tuned.model.parent / "training.log").read_text()
    assert (
        "distillation: 20 general sentences, 4 a step, weight 1; 7 layers of the encoder are" in log
    )
    assert json.loads(tuned.info.read_text())["dataset"]["distilled_rows"] == 20
    assert found[1.0] < 0.7 * found[0.0]
