"""Generation: the model's own distribution, the same file whatever the batch, nothing that is no sequence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biodata.errors import ConfigError
from biodata.io.fasta import read_fasta, write_fasta
from biodata.tokenizers import TokenizerConfig, train_tokenizer
from biodata.tokenizers.special import BOS, EOS
from biotrain.conditions import Condition
from biotrain.export import export_model, load_model
from biotrain.generate import GenerateConfig, Sampler, choose, generate
from biotrain.models import ModelConfig, build_model

VOCAB = 70


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes run folders of untrained models that like some tokens better than others."""
    root = tmp_path_factory.mktemp("runs")
    write_fasta(root / "data.fasta", ["a"], ["ATGGCCTAA"])
    train_tokenizer(TokenizerConfig(kind="codon", data=root / "data.fasta", out=root / "tokenizer"))

    def make(name: str = "gpt2", *, likes_eos: float = 0.0) -> Path:
        config = ModelConfig(name=name, layers=2, width=32, heads=4, context=40, tie_embeddings=False)
        model = build_model(config, vocab_size=VOCAB, seed=1).eval()
        noise = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=noise) * 0.15)
            model.head.weight[EOS] += likes_eos * model.norm.bias / model.norm.bias.square().sum()
        folder = root / f"{name}-{likes_eos}"
        export_model(model, root / "tokenizer", folder / "model")
        return folder

    return make


def records(path: Path) -> list[tuple[str, str, str]]:
    rows = [row for batch in read_fasta(path) for row in batch.to_pylist()]
    return [(row["id"], row["description"], row["sequence"]) for row in rows]


def ids_of(folder: Path, **settings: object) -> list[list[int]]:
    config = GenerateConfig(run=folder, out=Path("unused"), **settings)
    with torch.inference_mode():
        sampler = Sampler(load_model(folder), config, Condition(ids=[], not_first=(EOS,)), 39)
        return [row for batch in sampler.batches() for row in batch]


def test_writes_codons_and_says_how(run, tmp_path: Path) -> None:
    out = tmp_path / "new.fasta"
    folder = run(likes_eos=1.0)
    result = generate(GenerateConfig(run=folder, out=out, num=30, seed=4, temperature=0.9, max_length=9))
    assert result["path"] == str(out) and result["n"] == 30 and result["tokens_per_s"] > 0
    made = records(out)
    assert [name for name, _, _ in made][:2] == ["generated-000001", "generated-000002"]
    for _, description, sequence in made:
        assert re.fullmatch("(?:[ACGT]{3}){1,9}", sequence)
        assert "model=gpt2-1.0 " in description and "seed=4 temperature=0.9" in description
        assert description.endswith("end=length") == (len(sequence) == 3 * 9)
    assert {d.rsplit("=", 1)[1] for _, d, _ in made} == {"eos", "length"}


def test_file_depends_on_the_seed_and_not_on_the_batch(run, tmp_path: Path) -> None:
    folder = run(likes_eos=2.0)
    files = {}
    for name, seed, batch_size, num in (("a", 1, 64, 12), ("b", 1, 1, 12), ("c", 1, 5, 7), ("d", 2, 64, 12)):
        out = tmp_path / f"{name}.fasta"
        generate(GenerateConfig(run=folder, out=out, num=num, seed=seed, batch_size=batch_size))
        files[name] = out.read_bytes()
    assert files["a"] == files["b"] and files["a"].startswith(files["c"]) and files["a"] != files["d"]


def test_cache_equals_reading_everything_again(run) -> None:
    folder = run(likes_eos=1.0)
    model = load_model(folder)
    for row in ids_of(folder, num=6, temperature=0):
        with torch.no_grad():
            logits = model(torch.tensor([row[:-1]]))[0]
        logits[:, [0, 1, 3, 4, 5]] = -torch.inf
        logits[0, EOS] = -torch.inf
        assert logits.argmax(-1).tolist() == row[1:]


def test_greedy_equals_transformers(run, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = run()
    hf = transformers.AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    options = {"suppress_tokens": [0, 1, 3, 4, 5], "begin_suppress_tokens": [EOS], "pad_token_id": 0}
    settings = transformers.GenerationConfig(max_length=40, do_sample=False, eos_token_id=EOS, **options)
    theirs = hf.generate(torch.tensor([[BOS]]), attention_mask=torch.ones(1, 1), generation_config=settings)
    assert ids_of(folder, num=1, temperature=0)[0] == theirs[0].tolist()


def test_samples_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))[None]
    grid = (torch.arange(10_000) + 0.5) / 10_000

    def shares(**settings: float) -> list[float]:
        options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, **settings}
        tokens = choose(logits.expand(len(grid), -1), grid, **options)
        return (np.bincount(tokens, minlength=4) / len(grid)).round(3).tolist()

    assert shares() == [0.5, 0.3, 0.15, 0.05]
    assert shares(top_k=2) == [0.625, 0.375, 0, 0]
    assert shares(top_p=0.81) == [0.526, 0.316, 0.158, 0]
    assert shares(top_p=0.8) == [0.625, 0.375, 0, 0]
    assert shares(top_p=1e-6) == [1, 0, 0, 0]
    assert shares(temperature=0) == [1, 0, 0, 0]
    hot = np.array([0.5, 0.3, 0.15, 0.05]) ** 0.5
    assert shares(temperature=2.0) == pytest.approx(hot / hot.sum(), abs=1e-3)


def test_forbidden_tokens_stay_forbidden_at_the_edges() -> None:
    logits = torch.full((2, 5), -torch.inf)
    logits[:, [1, 3]] = 0.0
    tokens = choose(logits, torch.tensor([0.0, 1 - 2**-53]).double(), temperature=1.0, top_k=0, top_p=1.0)
    assert tokens.tolist() == [1, 3]


def test_prompt_begins_every_sequence(run, tmp_path: Path) -> None:
    out = tmp_path / "new.fasta.gz"
    generate(GenerateConfig(run=run(), out=out, num=5, prompt="ATGGCC", max_length=10))
    assert all(s.startswith("ATGGCC") and 9 <= len(s) <= 30 for _, _, s in records(out))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_p": 1.1}, "generate top_p must be over 0 and at most 1, got 1.1"),
        ({"temperature": 0, "top_k": 5}, "generate top_k does nothing at temperature 0"),
        ({"temperature": -1}, "generate temperature must be 0 or more, got -1"),
        ({"num": 0}, "generate num must be 1 or more, got 0"),
        ({"prompt": "ATGG"}, "prompt 'ATGG' is not made of whole tokens"),
        ({"prompt": "ATG" * 39}, "prompt has 39 tokens, which leaves none of the 39 allowed"),
        ({"max_length": 41}, "max_length 41 is more than the model can read, 39"),
        (
            {"out": Path("new.csv")},
            r"out is 'new\.csv', but sequences are written as FASTA: give NAME\.fasta",
        ),
        ({"out": Path("-")}, "out is '-', but sequences are written as FASTA"),
        ({"out": Path("/")}, "out / is a folder: name a file in it"),
    ],
)
def test_what_cannot_be_is_one_line(run, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(GenerateConfig(**{"run": run(), "out": tmp_path / "new.fasta"} | settings))
    assert not list(tmp_path.iterdir())


def test_the_same_again_and_again_is_said(run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate(GenerateConfig(run=run(), out=tmp_path / "new.fasta", temperature=0, num=2))
    assert "all 2 sequences will be the same" in capsys.readouterr().err
    assert len(set((tmp_path / "new.fasta").read_text().split(">")[1:])) == 2  # but for their names


def test_masked_models_do_not_generate(run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a masked model"):
        generate(GenerateConfig(run=run("bert"), out=tmp_path / "new.fasta"))
