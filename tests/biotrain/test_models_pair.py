"""ELECTRA and METRO against transformers' classes and numbers by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from biodata.dataset import open_dataset
from biodata.errors import ConfigError, DataError
from biotrain import loop
from biotrain.config import TrainConfig
from biotrain.device import choose_hardware
from biotrain.export import export_model, load_model
from biotrain.generate import generate
from biotrain.generate_config import GenerateConfig
from biotrain.lanes import Lanes
from biotrain.layers.pair import Pair, draw
from biotrain.layers.positions import relative_buckets
from biotrain.layers.scene import make_scene
from biotrain.loop import train
from biotrain.losses.xe import CrossEntropy
from biotrain.models import ModelConfig, build_model, count_parameters
from biotrain.models.pair_config import PairConfig
from biotrain.objectives import IGNORE, Batch, ObjectiveConfig, build_objective
from biotrain.objectives.rtd import area_under_curve, histogram
from biotrain.objectives.rtd_config import RtdConfig
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step

PAIRS = [
    ("electra", "learned", PairConfig()),
    ("electra", "rope", PairConfig(generator_width=16, embedding_width=24)),
    ("electra", "learned", PairConfig(embedding_width=12, disentangled=True)),
    ("metro", "learned", PairConfig()),
    ("metro", "alibi", PairConfig(disentangled=True)),
    ("metro", "relative", PairConfig()),
    ("electra", "relative", PairConfig(generator_width=16, generator_heads=2, disentangled=True)),
]


def pair_of(name: str, position: Any, pair: PairConfig, **more: Any) -> Pair:
    shape: dict[str, Any] = {"layers": 3, "width": 32, "heads": 4, "ffn": 40, "context": 24, **more}
    model = build_model(ModelConfig(name=name, position=position, pair=pair, **shape), vocab_size=30, seed=3)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.1)
    assert isinstance(model, Pair)
    return model.eval()


def rows_of(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, which of them are masked, and numbers to draw from, one for each position."""
    noise = torch.Generator().manual_seed(1)
    ids = torch.randint(6, 30, (rows, length), generator=noise)
    return ids, torch.rand(ids.shape, generator=noise) < 0.4, torch.rand(ids.shape, generator=noise)


@pytest.mark.parametrize(("name", "position", "pair"), PAIRS)
def test_closed_form_equals_the_built_pair(name: str, position: str, pair: PairConfig) -> None:
    model = pair_of(name, position, pair)
    built = sum(p.numel() for p in model.parameters())
    assert count_parameters(model.config, vocab_size=30)["total"] == built


@pytest.mark.parametrize(("name", "position", "pair"), PAIRS)
def test_packed_documents_and_padding(name: str, position: str, pair: PairConfig) -> None:
    """Each document and each padded row is judged as if it stood alone."""
    model, (ids, masked, noise) = pair_of(name, position, pair), rows_of(1, 20)
    sizes = [7, 1, 9, 3]
    documents = torch.repeat_interleave(torch.tensor(sizes))[None]
    packed = model(ids, rows=masked, noise=noise[masked], documents=documents)
    pieces = []
    for piece, where, numbers in zip(*(t.split(sizes, 1) for t in (ids, masked, noise))):
        pieces.append(model(piece, rows=where, noise=numbers[where]))
    close(packed, [torch.cat(parts, int(number == 2)) if parts[0] is not None else None
                   for number, parts in enumerate(zip(*pieces))])  # fmt: skip
    padded = torch.cat((ids, torch.full((1, 3), 9)), 1)
    mask, where = torch.arange(23)[None] < 20, torch.cat((masked, torch.zeros(1, 3, dtype=torch.bool)), 1)
    alone = model(ids, rows=masked, noise=noise[masked])
    beside = model(padded, rows=where, noise=noise[masked], mask=mask)
    close(beside._replace(verdicts=beside.verdicts[:, :20]), alone)


def close(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "position", "pair"), PAIRS)
def test_bf16_is_near_and_every_parameter_has_a_gradient(name: str, position: str, pair: PairConfig) -> None:
    model, (ids, masked, noise) = pair_of(name, position, pair).train(), rows_of(2, 20)
    exact = model(ids, rows=masked, noise=noise[masked])
    with torch.autocast("cpu", torch.bfloat16):
        near = model(ids, rows=masked, noise=noise[masked])
    assert (near.generated.float() - exact.generated).abs().max() < 0.15 * exact.generated.abs().max()
    total = sum(part.float().square().mean() for part in (near.generated, near.verdicts, near.corrected)
                if part is not None)  # fmt: skip
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_distances_fall_into_the_buckets_of_t5() -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distance = torch.arange(-400, 401)
    theirs = t5.T5Attention._relative_position_bucket(distance, num_buckets=32, max_distance=128)
    assert torch.equal(relative_buckets(distance), theirs)


def test_relative_biases_are_added_to_the_scores_of_every_layer() -> None:
    """Attention by hand, in float64; each of the two models has a table of its own."""
    model, (ids, masked, _) = pair_of("metro", "relative", PairConfig()).double(), rows_of(2, 20)
    table = model.relative_table
    assert table is not None and table.shape == (32, 4)
    bias = table[relative_buckets(torch.arange(20) - torch.arange(20)[:, None])].permute(2, 0, 1)
    x = model._embed(ids, make_scene(model.config, ids, mask=None, documents=None, cache=None, routing=None))
    for block in model.blocks:
        q, k, v = block.attention.qkv(x).view(2, 20, 3, 4, 8).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT / 8**0.5 + bias).softmax(-1)
        x = block.norm1(x + block.attention.out((weights @ v).transpose(1, 2).flatten(2)))
        x = block.norm2(x + block.mlp(x, None))
    torch.testing.assert_close(model.hidden(ids), x)
    before, other = model.generated(ids, masked), model.hidden(ids)
    with torch.no_grad():
        table.add_(torch.randn(table.shape).double())
    assert torch.equal(model.generated(ids, masked), before) and not torch.allclose(model.hidden(ids), other)


def test_the_corrector_is_weighed_by_doubt() -> None:
    """sum over masked of sigmoid(verdict) x cross-entropy, without a gradient through the weight."""
    model, (ids, masked, noise) = pair_of("metro", "learned", PairConfig()), rows_of(2, 20)
    batch = Batch(ids, None, masked, ids[masked], by_token={"noise": noise})
    losses, gradients = [], []
    for by_doubt in (False, True):
        objective = build_objective(
            ObjectiveConfig(name="rtd", rtd=RtdConfig(corrector_by_doubt=by_doubt)), vocab_size=30
        )
        objective.attach(model)
        found = objective.losses(model, CrossEntropy(), batch).losses
        losses.append(found)
        gradients.append(torch.autograd.grad(found[2], model.verdict.weight, retain_graph=True)[0])
    judged = model(ids, rows=masked, noise=noise[masked])
    each = torch.nn.functional.cross_entropy(judged.corrected, ids[masked], reduction="none")
    doubt = 1 / (1 + torch.exp(-judged.verdicts[masked]))
    torch.testing.assert_close(losses[0][2], each.sum())
    torch.testing.assert_close(losses[1][2], (doubt * each).sum())
    assert torch.equal(losses[0][:2], losses[1][:2]) and not any(g.any() for g in gradients)
    with pytest.raises(ConfigError, match="corrector_by_doubt needs a corrector: take model 'metro'"):
        objective.attach(pair_of("electra", "learned", PairConfig()))


def test_draws_have_the_generator_s_probabilities() -> None:
    logits = torch.tensor([0.5, 0.25, 0.25, 1e-30]).log().expand(4000, 4)
    drawn = draw(logits, (torch.arange(4000) + 0.5) / 4000)
    assert torch.bincount(drawn, minlength=4).tolist() == [2000, 1000, 1000, 0]


def test_gradients_are_disentangled() -> None:
    """The discriminator's loss moves its difference, not the generator's embeddings."""
    for disentangled in (False, True):
        model = pair_of("metro", "learned", PairConfig(disentangled=disentangled))
        ids, masked, noise = rows_of(2, 20)
        found = model(ids, rows=masked, noise=noise[masked])
        (found.verdicts.sum() + found.corrected.square().sum()).backward()
        assert (model.tokens.weight.grad is None) is disentangled
        assert (model.positions.weight.grad is None) is disentangled
        assert all(p.grad is None for p in model.generator.parameters())
        if disentangled:
            assert model.token_change.weight.grad.abs().sum() > 0
            fresh = build_model(model.config, vocab_size=30)
            assert not fresh.token_change.weight.any() and not fresh.position_change.weight.any()


def test_losses_by_hand() -> None:
    """Four tokens, two masked; the generator is right once; weights 2, 10 and 3."""
    config = ObjectiveConfig(name="rtd", rtd=RtdConfig(generator_weight=2, discriminator_weight=10,
                                                       corrector_weight=3))  # fmt: skip
    objective = build_objective(config, vocab_size=9)
    model = build_model(ModelConfig(name="metro", layers=1, width=8, heads=1, context=4), vocab_size=9)
    objective.attach(model)
    assert {name: tuple(term) for name, term in objective.terms.items()} == {
        "generator": ("targets", 2),
        "discriminator": ("tokens", 10),
        "corrector": ("targets", 3),
    }
    generated = torch.full((2, 9), -1e9)
    generated[0, 6], generated[1, 7], generated[1, 8] = 0.0, np.log(3.0), 0.0  # 1; 3/4 and 1/4
    verdicts = torch.tensor([[0.0, -np.log(3.0), np.log(3.0), 5.0, 100.0]])  # P(replaced) 1/2 1/4 3/4
    corrected = torch.zeros(2, 9)

    class Answer:
        drawn = torch.tensor([6, 7])

    Answer.generated, Answer.verdicts, Answer.corrected = generated, verdicts, corrected
    rows = torch.tensor([[False, True, True, False, False]])
    batch = Batch(torch.zeros(1, 5, dtype=torch.long), torch.tensor([[True] * 4 + [False]]), rows,
                  torch.tensor([6, 8]), by_token={"noise": torch.zeros(1, 5)})  # fmt: skip
    loss = torch.nn.CrossEntropyLoss()
    found = objective.losses(lambda *args, **options: Answer, loss, batch)
    softplus = float(np.log1p(np.exp(5.0)))
    expected = [np.log(4), np.log(2) + np.log(4 / 3) + np.log(4 / 3) + softplus, 2 * np.log(9)]
    assert found.losses.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.xe.item() == pytest.approx(np.log(4), rel=1e-6)
    report = {name: value.item() for name, value in objective.report(found.notes).items()}
    assert report == pytest.approx({"generator_accuracy": 0.5, "replaced": 0.25, "auc": 2 / 3, "recall": 1.0})


def test_area_under_the_curve_is_sklearn_s() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    noise = torch.Generator().manual_seed(0)
    is_replaced = torch.rand(5000, generator=noise) < 0.1
    logits = torch.randn(5000, generator=noise) - 2 + is_replaced
    ours = area_under_curve(*histogram(logits, is_replaced).view(2, -1)).item()
    assert ours == pytest.approx(metrics.roc_auc_score(is_replaced, logits), abs=2e-4)
    none = torch.zeros(4, dtype=torch.bool)
    assert area_under_curve(*histogram(torch.zeros(4), none).view(2, -1)).item() == 0.5


PAIR = ModelConfig(name="metro", layers=2, width=32, heads=2, context=32, dropout=0.1)


def parts_of(config: TrainConfig, lanes: int) -> Parts:
    hardware = choose_hardware(device="cpu", precision="fp32", threads=1)
    assert config.data is not None
    return dataclasses.replace(build_parts(config, open_dataset(config.data), hardware), lanes=Lanes(lanes))


@pytest.mark.parametrize("name", ["electra", "metro"])
def test_the_step_is_that_of_the_whole_batch(tiny_config: Callable[..., TrainConfig], name: str) -> None:
    """Micro-batches and lanes change nothing: each loss is the mean over the step."""
    model = dataclasses.replace(PAIR, name=name, pair=None, dropout=0.0)
    config = tiny_config(model=model, objective=ObjectiveConfig(name="rtd"))
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=0.0, clip_norm=0.0))
    found = []
    for size, lanes in ((16, 1), (4, 1), (16, 2)):
        parts = parts_of(dataclasses.replace(config, batch_size=size, accumulate=16 // size), lanes)
        result = train_step(parts, parts.train.rows(np.arange(16)), 1)
        found.append((result, [p.grad for p in parts.model.parameters()]))
    first, gradients = found[0]
    expected = {"generator_loss", "discriminator_loss", "generator_accuracy", "replaced", "auc", "recall"}
    assert set(first.more) == expected | ({"corrector_loss"} if name == "metro" else set())
    parts_sum = first.more["generator_loss"] + 50 * first.more["discriminator_loss"]
    parts_sum = parts_sum + first.more.get("corrector_loss", 0.0)
    assert first.loss.item() == pytest.approx(parts_sum.item(), rel=1e-5)
    assert first.xe.item() == pytest.approx(first.more["generator_loss"].item(), rel=1e-6)
    for other, theirs in found[1:]:
        for key, value in first.more.items():
            torch.testing.assert_close(other.more[key], value, atol=2e-3 if key == "auc" else 1e-5, rtol=1e-4)
        for one, another in zip(gradients, theirs):
            torch.testing.assert_close(another, one, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_pair_learns_eight_sequences_by_heart(frozen: bool) -> None:
    """All of it, or only a discriminator of what a generator that knows nothing puts in."""
    shape = dataclasses.replace(PAIR, dropout=0.0, context=16, pair=PairConfig(disentangled=frozen))
    model, masks = build_model(shape, vocab_size=30), torch.Generator()
    objective = build_objective(ObjectiveConfig(name="rtd", mask_rate=0.3), vocab_size=30)
    objective.attach(model)
    ids, optimizer = rows_of(8, 12)[0], torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    weights = torch.tensor([0.0 if frozen else 1.0, 10.0, 1.0])
    for _ in range(120):
        prepared = objective.prepare(ids, torch.ones_like(ids, dtype=torch.bool), masks.manual_seed(0))
        rows = prepared.targets != IGNORE
        batch = Batch(prepared.inputs, None, rows, prepared.targets[rows], by_token=prepared.by_token)
        found = objective.losses(model, CrossEntropy(), batch)
        means = found.losses / torch.tensor([rows.sum(), rows.numel(), rows.sum()])
        optimizer.zero_grad()
        (means * weights).sum().backward()
        optimizer.step()
    assert (means[frozen:] < 0.05).all()
    if frozen:
        report = objective.report(found.notes)
        assert report["replaced"] > 0.2 and report["auc"] == report["recall"] == 1


class Killed(BaseException):
    """Ends a run as SIGKILL would: nothing of ours catches it."""


def test_a_run_logs_both_models_and_resumes_exactly(
    tiny_config: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": PAIR, "objective": ObjectiveConfig(name="rtd", mask_rate=0.25), "accumulate": 2}
    whole = train(tiny_config(out=tmp_path / "whole", **settings))

    def dying(parts: Any, rows: Any, step: int) -> Any:
        if step == 8:
            raise Killed
        return train_step(parts, rows, step)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", dying)
        train(tiny_config(out=tmp_path / "other", **settings))
    train(tiny_config(out=tmp_path / "other", resume=True, **settings))
    for name in ("model/model.safetensors", "checkpoints/step-12/optimizer.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    lines = [
        json.loads(line) for line in (tmp_path / "whole" / "training_log.jsonl").read_text().splitlines()
    ]
    last, validation = [line for line in lines if "loss" in line][-1], lines[-1]
    for key in ("generator_accuracy", "auc", "recall", "replaced"):
        assert 0 <= last[key] <= 1 and 0 <= validation[f"val_{key}"] <= 1
    assert last["xe"] == pytest.approx(last["generator_loss"], rel=1e-6)
    assert whole["val_loss"] == pytest.approx(validation["val_generator_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("model", "objective", "message"),
    [
        ({"name": "bert"}, "rtd", "objective 'rtd' is not for model 'bert': take model 'electra' or 'metro'"),
        ({"name": "electra"}, "mlm", "model 'electra' learns by objective 'rtd', got 'mlm'"),
        ({"name": "metro"}, "clm", "model 'metro' learns by objective 'rtd', got 'clm'"),
        ({"name": "electra", "bidirectional": False}, "rtd", "model 'electra' has no bidirectional False"),
        ({"name": "electra", "tie_embeddings": False}, "rtd", "shares its embeddings"),
        ({"name": "metro", "pair": PairConfig(embedding_width=16)}, "rtd", "must be its width"),
        ({"name": "electra", "pair": PairConfig(generator_heads=3)}, "rtd", "width 64 is not divisible"),
        ({"name": "gpt2", "position": "relative"}, "clm", "model 'gpt2' has no position 'relative'"),
        ({"name": "gpt2", "pair": PairConfig()}, "clm", "'gpt2' has no option pair"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(model: dict[str, Any], objective: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TrainConfig(model=ModelConfig(**model), objective=ObjectiveConfig(name=objective))
    assert "\n" not in str(caught.value)


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


@pytest.mark.parametrize(("name", "position", "pair"), PAIRS)
def test_both_open_in_transformers_with_our_logits(
    tokenizer_dir: Path, tmp_path: Path, offline_hub: None, name: str, position: str, pair: PairConfig
) -> None:
    transformers = pytest.importorskip("transformers")
    model = pair_of(name, position, pair)
    out = export_model(model, tokenizer_dir, tmp_path / "model")
    ids, masked, _ = rows_of(3, 20)
    mask = torch.arange(20) < torch.tensor([[20], [11], [3]])
    trust = {} if position == "learned" else {"trust_remote_code": True}
    for auto, folder in (("PreTraining", out), ("MaskedLM", out / "generator")):
        theirs, told = getattr(transformers, f"AutoModelFor{auto}").from_pretrained(
            folder, output_loading_info=True, **trust
        )
        assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        native = "Electra" if position == "learned" else "SeqloomElectra"
        assert type(theirs).__name__ == f"{native}For{auto}"
        theirs = theirs.eval()
        found = theirs(ids, attention_mask=mask.long()).logits[mask]
        ours = model(ids, mask=mask)[mask] if auto == "PreTraining" else model.generated(ids, mask, mask=mask)
        torch.testing.assert_close(found, ours, atol=1e-5, rtol=1e-5)
    hidden = transformers.AutoModel.from_pretrained(out, **trust).eval()(ids, attention_mask=mask.long())
    torch.testing.assert_close(
        hidden.last_hidden_state[mask], model.hidden(ids, mask)[mask], atol=1e-5, rtol=1e-5
    )
    again = load_model(out)
    assert again.config == model.config
    close(again(ids, rows=masked, noise=rows_of(3, 20)[2][masked]),
          model(ids, rows=masked, noise=rows_of(3, 20)[2][masked]))  # fmt: skip


@pytest.mark.parametrize("base", [False, True])
def test_published_shapes_have_transformers_parameters(base: bool) -> None:
    """ELECTRA small and base: both models less the embeddings that they share and segments we have not."""
    transformers = pytest.importorskip("transformers")
    width, e, ffn, heads, generator = (768, 768, 3072, 12, 256) if base else (256, 128, 1024, 4, 64)
    pair = PairConfig(embedding_width=e, generator_width=generator, generator_ffn=4 * generator)
    config = ModelConfig(name="electra", layers=12, width=width, heads=heads, ffn=ffn, context=512, pair=pair)
    shape = {"vocab_size": 30522, "embedding_size": e, "num_hidden_layers": 12, "type_vocab_size": 1}
    with torch.device("meta"):
        judge = transformers.ElectraForPreTraining(transformers.ElectraConfig(
            hidden_size=width, num_attention_heads=heads, intermediate_size=ffn, **shape))  # fmt: skip
        drawer = transformers.ElectraForMaskedLM(transformers.ElectraConfig(
            hidden_size=generator, num_attention_heads=4 if base else 1, intermediate_size=4 * generator,
            **shape))  # fmt: skip
    both = sum(p.numel() for m in (judge, drawer) for p in m.parameters())
    shared = sum(p.numel() for p in drawer.electra.embeddings.parameters())
    assert count_parameters(config, vocab_size=30522)["total"] == both - shared - e


def test_shared_embeddings_that_differ_are_refused(tokenizer_dir: Path, tmp_path: Path) -> None:
    out = export_model(pair_of(*PAIRS[0]), tokenizer_dir, tmp_path / "model")
    path = out / "generator" / "model.safetensors"
    tensors = load_file(path)
    tensors["electra.embeddings.word_embeddings.weight"][3, 3] += 1
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"'tokens\.weight' differs between discriminator and generator"):
        load_model(out)
    path.unlink()
    with pytest.raises(DataError, match=r"generator/model\.safetensors: no such file"):
        load_model(out)


def test_generating_is_refused_in_one_line(tokenizer_dir: Path, tmp_path: Path) -> None:
    out = export_model(pair_of(*PAIRS[3]), tokenizer_dir, tmp_path / "model")
    with pytest.raises(ConfigError, match="generating needs a causal one") as caught:
        generate(GenerateConfig(run=out, out=tmp_path / "new.fasta", num=1))
    assert "\n" not in str(caught.value)
