"""Scores against plain transformers, loops of single masks, and enumeration; every backbone; windows."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biodata.errors import ConfigError, DataError
from bioeval.backends import EmbedSettings, ScoreSettings, open_model, open_scorer
from bioeval.backends.plans import Layout, bound_passes, causal_passes, masked_passes, seen_passes
from bioeval.backends.windows import Frame
from bioeval.cache import EmbeddingCache
from bioeval.mutants.notation import apply_mutants
from bioeval.mutants.zero_shot import score_mutants, zero_shot_scores
from bioeval.protocols import HasMarginals
from tests.bioeval.conftest import write_codon_tokenizer
from tests.bioeval.exported import export
from tests.contracts import check_scorer

RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), 3 * n)) for n in (1, 5, 20, 7, 12, 20, 2)]
LONG = "".join(RNG.choice(list("ACGT"), 3 * 50))
pytestmark = pytest.mark.usefixtures("offline_hub")

BACKBONES: dict[str, tuple[str, dict[str, Any], str]] = {
    "gpt2": ("gpt2", {}, "log-likelihood"),
    "gpt2-alibi": ("gpt2", {"position": "alibi"}, "log-likelihood"),
    "gpt2-both-sides": ("gpt2", {"bidirectional": True}, "pseudo-log-likelihood"),
    "bert": ("bert", {}, "pseudo-log-likelihood"),
    "bert-causal": ("bert", {"bidirectional": False}, "log-likelihood"),
    "modernbert": ("modernbert", {}, "pseudo-log-likelihood"),
    "llama": ("llama", {"kv_heads": 2}, "log-likelihood"),
    "moe": ("moe", {}, "log-likelihood"),
    "mamba": ("mamba", {"ffn": 0}, "log-likelihood"),
    "mamba-helm": ("mamba", {"position": "learned"}, "log-likelihood"),
    "mamba2": ("mamba2", {}, "log-likelihood"),
    "bimamba": ("bimamba", {"position": "learned"}, "pseudo-log-likelihood"),
    "caduceus": ("caduceus", {"ffn": 0}, "pseudo-log-likelihood"),
    "hyena": ("hyena", {}, "log-likelihood"),
    "based": ("based", {}, "log-likelihood"),
    "electra": ("electra", {}, "replaced-token"),
    "metro-rope": ("metro", {"position": "rope"}, "replaced-token"),
    "dit": ("dit", {}, "elbo"),
}


def settings(**changes: Any) -> ScoreSettings:
    return replace(ScoreSettings(device="cpu"), **changes)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors on many threads are slow."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every backbone, exported; made when asked for."""
    root = tmp_path_factory.mktemp("exported")

    class Made(dict[str, Path]):
        def __missing__(self, case: str) -> Path:
            name, shape, _ = BACKBONES[case]
            self[case] = export(root / case, name, **shape)
            return self[case]

    return Made()


@pytest.mark.parametrize("case", BACKBONES)
def test_every_backbone_scores(case: str, folders: dict[str, Path]) -> None:
    """The kind that suits it; a batch of one as a batch of many; long sequences whole."""
    kind, more = BACKBONES[case][2], {"samples": 4} if BACKBONES[case][2] == "elbo" else {}
    sequences = [*SEQUENCES[:2], SEQUENCES[6], LONG[:90]]  # of 1, 5, 2 and 30 codons; the context is 24
    many = check_scorer(
        lambda size: open_scorer(str(folders[case]), settings(batch_size=size, **more)), sequences
    )
    assert open_scorer(str(folders[case]), settings(**more)).kind == kind
    tokens = np.array([len(s) // 3 for s in sequences])
    assert many.n_tokens.tolist() == (tokens + (kind == "log-likelihood")).tolist()
    assert (many.error > 0).any() == (kind == "elbo")


def reference(folder: Path, auto: str) -> tuple[Any, Any]:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return getattr(transformers, auto).from_pretrained(folder).eval(), tokenizer


def harness_log_likelihood(model: Any, ids: list[int], *, context: int, first: int = 1) -> float:
    """As lm-evaluation-harness: the whole through the model, the log-softmax gathered at the next token."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([ids[-context:]])).logits.log_softmax(-1)[0]
    targets = ids[-context:][1:]
    told = logits[:-1][torch.arange(len(targets)), torch.tensor(targets)]
    return float(told[max(0, len(targets) - (len(ids) - first)) :].sum())


def test_gpt2_is_what_transformers_says(gpt2: Path) -> None:
    model, tokenizer = reference(gpt2 / "model", "AutoModelForCausalLM")
    found = open_scorer(str(gpt2), settings(batch_size=3)).score(SEQUENCES)
    without = open_scorer(str(gpt2), settings(end=False)).score(SEQUENCES)
    for row, sequence in enumerate(SEQUENCES):
        ids = tokenizer(sequence)["input_ids"]
        expected = harness_log_likelihood(model, ids, context=32)
        assert found.total[row] == pytest.approx(expected, abs=1e-4)
        assert found.n_tokens[row] == len(ids) - 1
        assert without.total[row] == pytest.approx(
            harness_log_likelihood(model, ids[:-1], context=32), abs=1e-4
        )
    for value, sequence in zip(found.per_token, SEQUENCES):
        inputs = tokenizer(sequence, return_tensors="pt")
        loss = model(**inputs, labels=inputs["input_ids"]).loss.detach()
        assert value == pytest.approx(-float(loss), abs=1e-4)


def test_the_cost_of_a_score_has_the_parameters_of_the_model(gpt2: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(gpt2 / "model")
    assert getattr(open_scorer(str(gpt2)), "parameters", None) == sum(p.numel() for p in model.parameters())


def test_long_sequences_are_scored_behind_what_precedes_them(gpt2: Path) -> None:
    import torch

    model, tokenizer = reference(gpt2 / "model", "AutoModelForCausalLM")
    ids = tokenizer(LONG)["input_ids"]  # 52 tokens, context 32
    for stride, ends in ((0, (32, 48, 52)), (10, (32, 42, 52))):
        total, done = 0.0, 1
        for end in ends:
            window = ids[max(0, end - 32) : end]
            with torch.no_grad():
                told = model(torch.tensor([window])).logits[0].log_softmax(-1)
            total += sum(
                float(told[len(window) - 1 - back, ids[end - back]]) for back in range(1, end - done + 1)
            )
            done = end
        found = open_scorer(str(gpt2), settings(stride=stride)).score([LONG])
        assert found.n_tokens.tolist() == [51] and found.total[0] == pytest.approx(total, abs=1e-4)


def test_a_tokenizer_without_start_token_starts_as_the_harness_does(gpt2: Path, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "plain"
    shutil.copytree(gpt2 / "model", folder)
    fast = PreTrainedTokenizerFast.from_pretrained(folder)
    fast.backend_tokenizer.post_processor = None  # pyright: ignore[reportAttributeAccessIssue]
    fast.save_pretrained(folder)
    model, tokenizer = reference(folder, "AutoModelForCausalLM")
    ids = tokenizer(SEQUENCES[2])["input_ids"]
    assert 1 not in ids and 2 not in ids
    found = open_scorer(str(folder), settings()).score([SEQUENCES[2]])
    assert found.n_tokens.tolist() == [20]
    assert found.total[0] == pytest.approx(harness_log_likelihood(model, [1, *ids], context=32), abs=1e-4)


def single_masks(model: Any, ids: list[int], mask: int, places: range) -> np.ndarray:
    """Log-probabilities [places, V], a pass each."""
    import torch

    rows = []
    for place in places:
        hidden = [*ids[:place], mask, *ids[place + 1 :]]
        with torch.no_grad():
            rows.append(model(torch.tensor([hidden])).logits[0, place].log_softmax(-1).numpy())
    return np.stack(rows)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """transformers' own BERT of random weights."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=70, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=24, initializer_range=0.4, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertForMaskedLM(config).save_pretrained(folder)
    write_codon_tokenizer(folder)
    return folder


def test_pseudo_likelihood_is_a_loop_of_single_masks(masked: Path) -> None:
    model, tokenizer = reference(masked, "AutoModelForMaskedLM")
    found = open_scorer(str(masked), settings(batch_size=7)).score(SEQUENCES)
    for row, sequence in enumerate(SEQUENCES):
        ids = tokenizer(sequence)["input_ids"]
        table = single_masks(model, ids, 4, range(1, len(ids) - 1))
        assert found.total[row] == pytest.approx(table[range(len(table)), ids[1:-1]].sum(), abs=1e-4)
        assert found.n_tokens[row] == len(ids) - 2


def test_long_masked_sequences_see_both_sides(masked: Path) -> None:
    model, tokenizer = reference(masked, "AutoModelForMaskedLM")
    content = tokenizer(LONG, add_special_tokens=False)["input_ids"]  # 50 tokens, room 22, steps of 11
    total = 0.0
    for first, start in ((0, 0), (11, 5), (22, 16), (33, 27), (44, 28)):
        ids = [1, *content[start : start + 22], 2]
        places = range(first - start + 1, min(first + 11, 50) - start + 1)
        table = single_masks(model, ids, 4, places)
        total += table[range(len(table)), [ids[p] for p in places]].sum()
    found = open_scorer(str(masked), settings()).score([LONG])
    assert found.n_tokens.tolist() == [50] and found.total[0] == pytest.approx(total, abs=1e-3)


def test_discriminator_is_the_mean_of_what_was_not_replaced(folders: dict[str, Path]) -> None:
    import torch
    import transformers

    folder = folders["electra"]
    model = transformers.ElectraForPreTraining.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = open_scorer(str(folder), settings(batch_size=2)).score(SEQUENCES)
    for row, sequence in enumerate(SEQUENCES):
        with torch.no_grad():
            logits = model(**tokenizer(sequence, return_tensors="pt")).logits[0, 1:-1]
        assert found.per_token[row] == pytest.approx(float(-logits.exp().log1p().mean()), abs=1e-5)
    generator = open_scorer(str(folder / "generator"), settings())
    assert generator.kind == "pseudo-log-likelihood" and (generator.score(SEQUENCES).total < 0).all()


def test_the_bound_is_the_mean_over_all_masks(folders: dict[str, Path]) -> None:
    """Of three tokens all 7 sets of hidden ones can be tried; the estimate's error is what it says."""
    import torch
    import transformers

    folder, sequence = folders["dit"], "ACGTTTGAC"
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(sequence)["input_ids"]
    exact = 0.0
    for count in (1, 2, 3):
        sets = list(itertools.combinations((1, 2, 3), count))
        for hidden in sets:
            masked = torch.tensor([[4 if place in hidden else token for place, token in enumerate(ids)]])
            with torch.no_grad():
                told = model(masked).logits[0]
            told[:, :6] = -torch.inf
            told = told.log_softmax(-1)
            exact += (3 / count) * sum(float(told[p, ids[p]]) for p in hidden) / len(sets) / 3
    found = [open_scorer(str(folder), settings(samples=256, seed=seed)).score([sequence]) for seed in (0, 1)]
    for one in found:
        assert one.total[0] == pytest.approx(exact, abs=4 * one.error[0]) and 0 < one.error[0] < 1
    assert found[0].total[0] != found[1].total[0]


def test_marginals_are_those_of_the_paper(masked: Path, tmp_path: Path) -> None:
    """log p(mutant) - log p(wild type) at each changed place, hidden by itself or seen."""
    import torch

    model, tokenizer = reference(masked, "AutoModelForMaskedLM")
    wild = SEQUENCES[2]
    mutants = [wild[:3] + "AAA" + wild[6:], wild[:30] + "CCC" + wild[33:57] + "GGG", wild]
    ids, changed = tokenizer(wild)["input_ids"], [tokenizer(m)["input_ids"] for m in mutants]
    with torch.no_grad():
        seen = model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()
    hidden = np.concatenate([np.zeros((1, 70)), single_masks(model, ids, 4, range(1, len(ids) - 1))])
    scorer, cache = open_scorer(str(masked), settings(batch_size=2)), EmbeddingCache(tmp_path)
    assert isinstance(scorer, HasMarginals)
    for method, table in (("wt-marginals", seen), ("masked-marginals", hidden)):
        found = score_mutants(scorer, mutants, [wild] * 3, method=method, cache=cache)
        assert found.n_tokens.tolist() == [1, 2, 0] and found.method == method
        for value, other in zip(found.values, changed):
            places = [p for p in range(len(ids)) if ids[p] != other[p]]
            expected = sum(table[p, other[p]] - table[p, ids[p]] for p in places)
            assert value == pytest.approx(expected, abs=1e-4)
    auto = zero_shot_scores(scorer, mutants, [wild] * 3, cache=cache)
    assert auto == pytest.approx(score_mutants(scorer, mutants, [wild] * 3, cache=cache).values)
    indel = score_mutants(scorer, [wild[3:], mutants[0]], [wild] * 2, cache=cache)
    totals = scorer.score([wild, wild[3:], mutants[0]]).total
    assert indel.method == "difference" and indel.n_tokens.tolist() == [-1, 1]
    assert indel.values == pytest.approx(totals[1:] - totals[0], abs=1e-4)
    with pytest.raises(ConfigError, match=r"mutant 1 has another number of tokens .*take difference"):
        score_mutants(scorer, [wild[3:]], [wild], method="masked-marginals", cache=cache)


def test_marginals_of_long_wild_types_are_those_of_their_windows(masked: Path) -> None:
    scorer = open_scorer(str(masked), settings())
    assert isinstance(scorer, HasMarginals)
    places = [49, 0, 30]
    for hidden in (True, False):
        table = scorer.log_probabilities(LONG, places, hidden=hidden)
        assert table.shape == (3, 70) and np.exp(table).sum(axis=1) == pytest.approx(np.ones(3))
        some = scorer.log_probabilities(LONG, [30], hidden=hidden)
        assert some[0] == pytest.approx(table[2], abs=1e-5)
    content = scorer.tokens([LONG])[0]
    told = sum(scorer.log_probabilities(LONG, [p], hidden=True)[0, content[p]] for p in range(50))
    assert told == pytest.approx(scorer.score([LONG]).total[0], abs=1e-3)


def test_causal_mutants_are_differences(gpt2: Path, tmp_path: Path) -> None:
    scorer, cache = open_scorer(str(gpt2), settings()), EmbeddingCache(tmp_path)
    wild, mutant = SEQUENCES[2], SEQUENCES[2][:-3] + "AAA"
    found = score_mutants(scorer, [mutant, wild], [wild, wild], cache=cache)
    assert found.method == "difference" and found.values[1] == 0
    totals = scorer.score([wild, mutant]).total
    assert found.values[0] == pytest.approx(totals[1] - totals[0], abs=1e-4)
    with pytest.raises(ConfigError, match=r"wt-marginals need a masked model, .* gives log-likelihood"):
        score_mutants(scorer, [mutant], [wild], method="wt-marginals", cache=cache)
    with pytest.raises(ConfigError, match="compares with wild types"):
        zero_shot_scores(scorer, [mutant], method="difference", cache=cache)
    with pytest.raises(ConfigError, match="method = 'x', allowed: auto"):
        score_mutants(scorer, [mutant], [wild], method="x", cache=cache)


@pytest.mark.parametrize(
    ("mutant", "text"),
    [
        ("K3R", "row 1: mutant 'K3R', but the wild type has 'V' at 3"),
        ("K9R", r"mutant 'K9R' lies outside of the wild type \(1 to 3\)"),
        ("M1", r"mutant 'M1' cannot be read \(A12V"),
        (None, "mutant None cannot be read"),
    ],
)
def test_wrong_mutants_are_told(mutant: str | None, text: str) -> None:
    with pytest.raises(DataError, match=text):
        apply_mutants("MKV", [mutant])


def test_mutants_may_be_counted_from_elsewhere() -> None:
    assert apply_mutants("MKV", ["K102R:V103L", "WT"], first=101) == ["MRL", "MKV"]


def test_windows_score_every_token_once() -> None:
    layout = Layout(frame=Frame((1,), (2,)), limit=9, stride=3, special=frozenset({0, 1, 2}), samples=3)
    content = np.random.default_rng(1).integers(6, 70, 40).tolist()
    whole = [1, *content, 2]
    for plan, expected in ((causal_passes, whole[1:]), (seen_passes, content), (masked_passes, content)):
        passes = plan(0, content, layout)
        assert np.concatenate([p.targets for p in passes]).tolist() == expected
        assert max(len(p.ids) for p in passes) <= 9
    first, *later = causal_passes(0, content, layout)
    assert all(p.places.min() >= 5 for p in later)  # six tokens or more stand before every new one
    for one in masked_passes(0, content, layout):
        assert len(one.hidden) == 1 and one.ids[one.hidden].tolist() == one.targets.tolist()
    for one in bound_passes(0, content, layout):
        assert one.weight >= 1 and one.ids[one.hidden].tolist() == one.targets.tolist()
        assert not {1, 2} & set(one.targets.tolist())
    assert first.targets.tolist() == whole[1:9]


@pytest.mark.parametrize(
    ("case", "changes", "text"),
    [
        ("gpt2", {"kind": "elbo"}, "kind = 'elbo', .* gives log-likelihood"),
        ("gpt2", {"samples": 5}, "samples = 5 does nothing for .*: it gives log-likelihood"),
        ("gpt2", {"stride": 24}, "stride = 24, allowed: at most 2"),
        ("gpt2", {"max_tokens": 99}, "max_tokens = 99, .* has a context of 24"),
        ("bert", {"end": False}, "end = False does nothing for .*: it gives pseudo-log-likelihood"),
        ("mamba", {"stride": 4}, "stride = 4 does nothing for .*: it reads any length at once"),
        ("electra", {"kind": "log-likelihood"}, "gives replaced-token"),
    ],
)
def test_settings_that_do_nothing_are_refused(
    case: str, changes: dict[str, Any], text: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(ConfigError, match=text):
        open_scorer(str(folders[case]), settings(**changes)).score([SEQUENCES[0]])


def test_models_without_a_score_are_refused(gpt2: Path, tmp_path: Path) -> None:
    import json

    for name in ("kmer", "vectors.npy"):
        with pytest.raises(ConfigError, match=r"no score: give a model"):
            open_scorer(name)
    with pytest.raises(ConfigError, match="is no Scorer: it needs name, key, kind"):
        open_scorer("os:sep")
    folder = tmp_path / "other"
    shutil.copytree(gpt2 / "model", folder)
    values = json.loads((folder / "config.json").read_text())

    def written(**changes: Any) -> str:
        (folder / "config.json").write_text(json.dumps({**values, **changes}))
        return str(folder)

    with pytest.raises(
        ConfigError, match=r"architecture 'GPT2Model'\) has no output layer that gives scores"
    ):
        open_scorer(written(architectures=["GPT2Model"]))
    with pytest.raises(ConfigError, match="model of pictures of sequences and gives no score"):
        open_scorer(written(model_type="seqloom_dit_image"))
    with pytest.raises(ConfigError, match="sees both sides"):
        open_scorer(written(is_causal=False))


def test_an_encoder_without_its_head_is_refused(masked: Path, tmp_path: Path) -> None:
    """transformers would draw the missing output layer at random and score with it."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(masked, folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {
        name: value for name, value in tensors.items() if not name.startswith("cls.predictions.transform")
    }
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"no weights for cls\.predictions\.transform"):
        open_scorer(str(folder), settings()).score(SEQUENCES)


def test_random_init_scores_differ_by_seed(gpt2: Path) -> None:
    a, again, b = (open_scorer(f"random-init:{gpt2}", settings(seed=s)) for s in (1, 1, 2))
    assert a.key == again.key != b.key
    assert a.score(SEQUENCES).total == pytest.approx(again.score(SEQUENCES).total)
    assert not np.allclose(a.score(SEQUENCES).total, b.score(SEQUENCES).total)


def test_scores_are_kept(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, cache = open_scorer(str(gpt2), settings()), EmbeddingCache(tmp_path)
    found = cache.score(scorer, SEQUENCES)
    plain = scorer.score(SEQUENCES)
    assert (
        found.total == pytest.approx(plain.total, abs=1e-4)
        and found.n_tokens.tolist() == plain.n_tokens.tolist()
    )

    def never(sequences: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(scorer, "score", never)
    again = EmbeddingCache(tmp_path).score(scorer, SEQUENCES[::-1])
    assert again.total.tolist() == found.total[::-1].tolist()


@pytest.mark.parametrize(
    ("alphabet", "tag", "sequences"),
    [
        ("dna", "dna", ["ACGTTG", "acg"]),
        ("rna", "dna", ["ACGUUG", "A"]),
        ("protein", "protein", ["MKV", "GAT"]),
    ],
)
def test_a_model_of_texts_and_sequences_reads_letters(
    tmp_path: Path, alphabet: str, tag: str, sequences: list[str]
) -> None:
    """Between `<dna>` or `<protein>` and its end, as in training; as words they would mean something else."""
    import torch

    from biodata.tokenizers.joint import train_joint
    from biotrain.export import export_model
    from biotrain.models import ModelConfig, build_model

    tokenizer = train_joint(["a kinase"] * 4, vocab_size=400)
    tokenizer.save(tmp_path / "tokenizer")
    shape = ModelConfig(layers=1, width=16, heads=2, context=64, init_std=0.3)
    model = build_model(shape, vocab_size=tokenizer.vocab_size).eval()
    folder = export_model(model, tmp_path / "tokenizer", tmp_path / "model", metadata={"alphabet": alphabet})
    found = open_scorer(str(folder), settings()).score(sequences)
    for row, text in enumerate(sequences):
        ids = torch.tensor([tokenizer.encode(f"<{tag}>{text}</{tag}>")])
        with torch.no_grad():
            logp = model(ids).log_softmax(-1)[0]
        each = logp[torch.arange(1, ids.shape[1] - 1), ids[0, 2:]]
        assert found.n_tokens[row] == len(text) + 2
        assert found.total[row] == pytest.approx(each.sum().item(), rel=1e-5)
    embedder = open_model(str(folder), EmbedSettings(device="cpu"))
    with torch.no_grad():
        states = model.hidden(torch.tensor([tokenizer.encode(f"<{tag}>{sequences[0]}</{tag}>")]))[0, 2:-2]
    np.testing.assert_allclose(embedder.embed(sequences[:1])[0], states.mean(0), atol=1e-5)
    (folder / "biotrain.json").unlink()
    with pytest.raises(DataError, match="nothing says whether its sequences are DNA or proteins"):
        open_scorer(str(folder), settings()).score(sequences)
