"""Contacts: read from tables and structures, found in attention and embeddings, scored as CASP does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError
from bioeval.backends import EmbedSettings, open_model
from bioeval.cache import EmbeddingCache
from bioeval.contacts.features import PairMixer, corrected, separation_prior
from bioeval.evaluate import EvalConfig, evaluate
from bioeval.running.bench import Bench, Models
from bioeval.running.contacts import ContactReader
from bioeval.scores.contacts import CONTACT_METRICS, pair_scores, precision_at
from bioeval.tasks import Task, load_task
from bioeval.tasks.contact_targets import structures_of
from seqloom_cli.main import app
from tests.bioeval.conftest import write_codon_tokenizer
from tests.task_files import table, task

# ---- scores


def plain_precision(pairs: list[tuple[int, bool, float]], low: int, high: float, k: int) -> float:
    """P@k by an ordinary loop, predictions all different."""
    ranked = sorted((x for x in pairs if low <= x[0] < high), key=lambda x: -x[2])
    if not any(x[1] for x in ranked):
        return np.nan
    best = ranked[:k]
    return sum(x[1] for x in best) / len(best)


def test_precision_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    i, j = np.triu_indices(41, k=4)
    y, p = rng.random(len(i)) < 0.1, rng.permutation(len(i)) / len(i)
    found = dict(zip(CONTACT_METRICS, pair_scores(j - i, y, p, length=37)))
    pairs = list(zip((j - i).tolist(), y.tolist(), p.tolist()))
    for name, low, high in (("long", 24, np.inf), ("medium", 12, 24), ("short", 6, 12)):
        for share, k in (("", 37), ("2", 18), ("5", 7)):
            assert found[f"{name}-p-at-l{share}"] == pytest.approx(plain_precision(pairs, low, high, k))
    assert found["p-at-contacts"] == pytest.approx(plain_precision(pairs, 4, np.inf, int(y.sum())))
    assert found["contact-auprc"] == pytest.approx(average_precision_score(y, p))


def test_equal_predictions_count_as_if_drawn_and_no_contact_is_no_value() -> None:
    y = np.array([1, 1, 0, 0, 0], bool)
    assert precision_at(y, np.array([2.0, 1, 1, 1, 0]), 2) == pytest.approx((1 + 1 / 3) / 2)
    assert precision_at(y, np.zeros(5), 9) == 0.4  # fewer pairs than L: all of them
    assert np.isnan(precision_at(~y[:2], np.arange(2.0), 1))


def test_average_product_correction_by_hand() -> None:
    maps = np.array([[[1.0, 3.0], [1.0, 2.0]]])
    # symmetric: [[2, 4], [4, 4]]; sums 6, 8; total 14
    expected = np.array([[2 - 36 / 14, 4 - 48 / 14], [4 - 48 / 14, 4 - 64 / 14]])
    np.testing.assert_allclose(corrected(maps)[0], expected)
    assert not corrected(np.zeros((1, 3, 3))).any()


def test_pair_features_do_not_know_which_side_is_which() -> None:
    row = np.random.default_rng(0).normal(size=(30, 40))
    mixer = PairMixer.of([row], total=30, seed=0)
    z = mixer.components(row)
    i, j = np.triu_indices(30, k=6)
    assert z.shape == (30, 29)  # 30 rows less their mean
    np.testing.assert_allclose(mixer.pairs(z, i, j), mixer.pairs(z, j, i), atol=1e-5)


def test_the_prior_of_separation_is_the_share_of_contacts() -> None:
    apart, y = np.array([6] * 98 + [8] * 48), np.array([True] * 49 + [False] * 97)
    prior = separation_prior(apart, y)
    mean = y.mean()
    assert prior[6] == pytest.approx((49 + 2 * mean) / 100) == prior[7]  # nothing seen at 7: as at 6
    assert prior[8] == pytest.approx(2 * mean / 50)


# ---- tables

ROWS = ["train"] * 3 + ["validation"] * 3 + ["test"] * 3
PROTEIN = "alphabet: protein\nkind: contacts\nmetric: p-at-contacts\n"
COLUMNS = "columns: {sequence: seq, value: c, split: split}\n"


def contacts_of(loaded: Task) -> list[list[int]]:
    return structures_of(loaded, "train")[0].contacts.tolist()


def test_every_notation_of_pairs_says_the_same(tmp_path: Path) -> None:
    seq, pairs = "MKVLAWGHIKAC", [[1, 8], [12, 2], [3, 4], [5, 5], [1, 8]]
    rows = [{"seq": seq, "c": pairs, "split": s} for s in ROWS]
    yaml = f"{PROTEIN}{COLUMNS}contacts: {{first: 1}}\ndata: {{file: t.FORMAT}}\n"
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    texts = {"csv": "1-8 12-2;3-4 5-5,1-8".replace(",", " "), "tsv": json.dumps(pairs)}
    for suffix, text in texts.items():
        tab = "\t" if suffix == "tsv" else ","
        (tmp_path / f"t.{suffix}").write_text(
            table(f"seq{tab}c{tab}split", *(f"{seq}{tab}{text}{tab}{s}" for s in ROWS))
        )
    found = [load_task(task(tmp_path, yaml.replace("FORMAT", f))) for f in ("jsonl", "parquet", "csv", "tsv")]
    # 0-based, at least 6 apart, once each
    assert [contacts_of(f) for f in found] == [[[0, 7], [1, 11]]] * 4
    assert found[0].values("test").tolist() == [2, 2, 2] and not found[0].classes
    # rows are named by their line, and tables have a head
    assert found[0].fingerprint == found[1].fingerprint and found[2].fingerprint == found[3].fingerprint
    near = load_task(
        task(tmp_path, yaml.replace("FORMAT", "csv").replace("first: 1", "first: 1, separation: 1"))
    )
    assert contacts_of(near) == [[0, 7], [1, 11], [2, 3]] and near.fingerprint != found[0].fingerprint


def test_unknown_residues_are_neither_contact_nor_none(tmp_path: Path) -> None:
    yaml = f"{PROTEIN}{COLUMNS}contacts: {{first: 0, unknown: gone, longest: 12}}\ndata: {{file: t.csv}}\n"
    rows = [f"MKVLAWGHIKAC,0-7,{s},3 4" for s in ROWS] + ["MKVLAWGHIKACA,0-7,test,"]
    loaded = load_task(task(tmp_path, yaml, t__csv=table("seq,c,split,gone", *rows)))
    (structure, *_) = structures_of(loaded, "test")
    i, j, y = structure.pairs()
    assert structure.length == 10 and not np.isin([i, j], [3, 4]).any() and y.sum() == 1
    assert (j - i).min() == 6
    assert loaded.notes["left_out_too-long"] == 1 and loaded.notes["residues_without_place"] == 18


def test_dot_brackets_with_pseudoknots(tmp_path: Path) -> None:
    yaml = ("alphabet: rna\nkind: contacts\nmetric: p-at-contacts\ndata: {file: t.csv}\n"
            f"{COLUMNS}contacts: {{notation: dot-bracket}}\n")  # fmt: skip
    rows = [f"GGGAAAUUUCCCAAA,((A...[.)).].a.,{s}" for s in ROWS]
    loaded = load_task(task(tmp_path, yaml, t__csv=table("seq,c,split", *rows)))
    assert contacts_of(loaded) == [[0, 9], [1, 8], [2, 13], [6, 11]]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("3-13", r"t.csv:2: contact 3-13 in a sequence of 12 \(residues are counted from 1\)"),
        ("0-8", "contact 0-8 in a sequence of 12"),
        ("3:8", "contact '3:8', I-J expected"),
        ('"[[1, 8, 9]]"', r"contacts '\[\[1, 8, 9\]\]', pairs \[\[i, j\], ...\] expected"),
        ("", "t.csv:2: column 'c' is empty"),
    ],
)
def test_bad_pairs_are_one_line_with_file_and_row(cell: str, text: str, tmp_path: Path) -> None:
    rows = [f"MKVLAWGHIKAC,{cell},{s}" for s in ROWS]
    yaml = f"{PROTEIN}{COLUMNS}contacts: {{first: 1}}\ndata: {{file: t.csv}}\n"
    with pytest.raises(DataError, match=text) as caught:
        load_task(task(tmp_path, yaml, t__csv=table("seq,c,split", *rows)))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("brackets", "text"),
    [
        ("((....).....", "symbol 1, '\\(', is never closed"),
        (".....)......", "symbol 6, '\\)', closes nothing"),
        ("(....).?....", "symbol 8, '\\?', is no dot-bracket"),
        ("(....)", "6 symbols of structure for 12 nucleotides"),
    ],
)
def test_bad_dot_brackets_are_one_line(brackets: str, text: str, tmp_path: Path) -> None:
    head = "alphabet: rna\nkind: contacts\ndata: {file: t.csv}\ncontacts: {notation: dot-bracket}\n"
    yaml = head + COLUMNS
    rows = [f"GGGAAAUUUCCC,{brackets},{s}" for s in ROWS]
    with pytest.raises(DataError, match=text):
        load_task(task(tmp_path, yaml, t__csv=table("seq,c,split", *rows)))


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("kind: contacts\nalphabet: protein", "kind contacts needs contacts.first, 0 or 1"),
        ("contacts: {first: 2}\nkind: contacts\nalphabet: protein", "contacts.first = 2, allowed: 0, 1"),
        ("contacts: {first: 1}", "contacts goes with kind contacts, not 'regression'"),
        ("kind: contacts\nalphabet: selfies\ncontacts: {first: 1}", "not of alphabet 'selfies'"),
        ("kind: contacts\nalphabet: protein\ncontacts: {first: 1, chain: A}", "chain goes with format"),
        ("kind: contacts\nalphabet: protein\ncontacts: {notation: dot-bracket}", "goes with unit nucleotide"),
        ("kind: contacts\nalphabet: protein\ncontacts: {first: 1, separation: 30}",
         "metric long-p-at-l counts pairs from .i - j. = 24, but contacts.separation = 30"),
    ],
)  # fmt: skip
def test_settings_that_do_nothing_are_refused(lines: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        load_task(task(tmp_path, f"data: {{file: t.csv}}\n{lines}\n"))


# ---- predictors

SPECIAL, LENGTH = "WYFHMCIL", 40


def planted_sequence(rng: np.random.Generator) -> str:
    """Two residues of each special letter, at least 24 apart, touch; the others are filler."""
    letters = rng.choice(list("AGST"), LENGTH)
    for letter, i, j in zip(SPECIAL, rng.permutation(8), 32 + rng.permutation(8)):
        letters[[i, j]] = letter
    return "".join(letters)


def spots_task(folder: Path, name: str = "planted") -> Path:
    rng, rows = np.random.default_rng(0), []
    for split, n in (("train", 5), ("validation", 3), ("test", 6)):
        for _ in range(n):
            seq = planted_sequence(rng)
            rows.append(f"{seq},{' '.join(f'{seq.index(c)}-{seq.rindex(c)}' for c in SPECIAL)},{split}")
    yaml = f"{PROTEIN}{COLUMNS}contacts: {{first: 0}}\ndata: {{file: t.csv}}\n"
    path = task(folder, yaml.replace("p-at-contacts", "long-p-at-l5"), t__csv=table("seq,c,split", *rows))
    return path.rename(folder / f"{name}.yaml")


class Planted:
    """Its second head looks at residues of the same special letter, the others at random ones."""

    name, key = "planted", "planted"

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind
        if blind:
            self.name = self.key = "random-init:planted"

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        return np.zeros((len(sequences), 1), np.float32)

    def twin(self, *, seed: int) -> Planted:
        return Planted(blind=True)

    def attention(self, sequence: str, *, width: int) -> np.ndarray:
        rng = np.random.default_rng([ord(c) for c in sequence])
        maps = rng.random((3, len(sequence), len(sequence))).astype(np.float32)
        letters = np.array(list(sequence))
        if not self.blind:
            maps[1] += (letters[:, None] == letters) & np.isin(letters, list(SPECIAL))
        return maps / maps.sum(2, keepdims=True)


def test_planted_contacts_are_found_in_attention_and_not_by_the_twin(tmp_path: Path) -> None:
    config = EvalConfig(
        models=(f"{__name__}:Planted", "one-hot"), tasks=(str(spots_task(tmp_path)),), out=tmp_path / "out",
        resamples=100, contacts="attention",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="one-hot gives no attention weights: take --contacts embeddings"):
        evaluate(config)
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert result["value"] > 0.95 and result["metric"] == "long-p-at-l5"  # 8 contacts, L/5 = 8
    baselines = result["baselines"]
    assert set(baselines) == {"kmer", "one-hot", "separation-only", f"random-init:{__name__}:Planted"}
    assert baselines[f"random-init:{__name__}:Planted"]["value"] < 0.2 > baselines["separation-only"]["value"]
    assert baselines["one-hot"]["value"] > 0.9  # equal letters touch here: products of letters know that
    assert result["probe"]["probe"] == "contacts-attention" and result["probe"]["penalty"] == "l1"
    assert result["n"] == 6 and result["leakage"]["train_test_rows"] == 0
    assert result["embedding"] == {"attention": "all heads of all layers"}
    assert result["other_metrics"]["medium-p-at-l"]["value"] is None
    assert result["other_metrics"]["contact-auprc"]["value"] > 0.9

    # values that are missing (no contact of medium range) stop neither comparisons nor boards
    out = str(tmp_path / "out")
    command = ["eval", "compare", out, out, "--second-model", "separation-only", "--json"]
    row = json.loads(CliRunner().invoke(app, command).stdout)["tasks"][0]
    assert row["delta"] > 0.5 and row["n"] == 6
    board = CliRunner().invoke(app, ["eval", "leaderboard", out, "--out", str(tmp_path / "board.html")])
    assert board.exit_code == 0 and "separation-only" in (tmp_path / "board.md").read_text()


def test_results_tell_attention_from_embeddings(tmp_path: Path) -> None:
    path = str(spots_task(tmp_path))
    loaded = load_task(path)
    keys = []
    for source in ("attention", "embeddings"):
        config = EvalConfig(models=("x",), tasks=(path,), out=tmp_path, contacts=source, baselines=False,
                            resamples=100, cache=tmp_path / "cache")  # fmt: skip
        bench = Bench(config, loaded, Models(config))
        model = Both()
        bench.models._embedders["x"] = model
        keys.append(bench.entry("x", {}).result["key"])
        kept = bench.entry("x", {("x", loaded.name): {"key": keys[-1], "kept": True}})
        assert kept.result["kept"]  # nothing is done again
    assert keys[0] != keys[1]


class Both(Planted):
    """Attends, and embeds positions by their letter."""

    def embed_tokens(self, sequences: Sequence[str], *, width: int) -> list[np.ndarray]:
        return [np.eye(26, dtype=np.float32)[[ord(c) - 65 for c in s]] for s in sequences]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "say what they are read from, --contacts attention or --contacts embeddings"),
        ({"contacts": "heads"}, "contacts = 'heads', allowed: attention, embeddings"),
        ({"contacts": "embeddings", "probe": "ridge"}, "probe = 'ridge' does nothing"),
        (
            {"contacts": "attention", "layer": "1"},
            "layer = '1' does nothing: attention of all layers is read",
        ),
    ],
)
def test_what_contacts_are_read_from_must_be_said(changes: dict, text: str, tmp_path: Path) -> None:
    given = {
        "models": ("one-hot",),
        "tasks": (str(spots_task(tmp_path)),),
        "out": tmp_path / "out",
        **changes,
    }
    with pytest.raises(ConfigError, match=text):
        evaluate(EvalConfig(**given))


def test_it_is_refused_where_no_task_is_of_contacts(planted_task: Path, tmp_path: Path) -> None:
    config = EvalConfig(
        models=("kmer",), tasks=(str(planted_task),), out=tmp_path / "out", contacts="attention"
    )
    with pytest.raises(ConfigError, match="contacts = 'attention' does nothing: no task is of contacts"):
        evaluate(config)


def test_too_few_sequences_with_a_contact_in_the_range(tmp_path: Path) -> None:
    rows = [f"MKVLAWGHIKACMKVLAWGHIKACMKVLAWGHIKAC,0-{'30' if s != 'test' else '8'},{s}" for s in ROWS]
    yaml = f"alphabet: protein\nkind: contacts\n{COLUMNS}contacts: {{first: 0}}\ndata: {{file: t.csv}}\n"
    path = task(tmp_path, yaml, t__csv=table("seq,c,split", *rows))
    config = EvalConfig(models=("one-hot",), tasks=(str(path),), out=tmp_path / "out", contacts="embeddings")
    with pytest.raises(
        DataError, match="0 test sequences have a contact that long-p-at-l counts, at least 3"
    ):
        evaluate(config)


# ---- models of transformers


def test_attention_of_a_model_is_that_of_transformers(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModel

    from bioeval.backends import attention

    embedder: Any = open_model(str(gpt2))
    sequence = "ATGGCATTCGATTAA"
    maps = embedder.attention(sequence, width=3)
    model = AutoModel.from_pretrained(gpt2 / "model", attn_implementation="eager").eval()
    ids = torch.tensor([embedder.checkpoint.tokenizer(sequence)["input_ids"]])
    with torch.inference_mode():
        expected = torch.cat(model(ids, output_attentions=True).attentions, 1)[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-6)
    # a model that calls torch's attention itself is watched: the same numbers
    watched = attention.attention_of(embedder.checkpoint.load(), embedder.checkpoint, sequence, width=3)
    np.testing.assert_allclose(watched, maps, atol=1e-5)
    with pytest.raises(
        ConfigError, match="5 tokens of 15 letters, contacts from attention need one for each letter"
    ):
        embedder.attention(sequence, width=1)
    with pytest.raises(DataError, match=r"a sequence of 40 tokens, .* has a context of 32"):
        embedder.attention("GCA" * 40, width=3)


def test_features_are_those_of_the_contact_head_of_esm(tmp_path: Path) -> None:
    import torch
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    letters = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
    (tmp_path / "vocab.txt").write_text(letters.replace(" ", "\n"))
    EsmTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "esm")
    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, pad_token_id=1, mask_token_id=32, position_embedding_type="rotary",
        token_dropout=True, initializer_range=0.5, attn_implementation="eager",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = EsmForMaskedLM(config).eval()
    model.save_pretrained(tmp_path / "esm")
    embedder: Any = open_model(str(tmp_path / "esm"))
    sequence = "MKVLAWGHIKACYT"
    maps = corrected(embedder.attention(sequence, width=1))
    tokens = embedder.checkpoint.tokenizer([sequence], return_tensors="pt")
    with torch.inference_mode():
        expected = model.predict_contacts(tokens["input_ids"], tokens["attention_mask"])[0].logit()
        head = model.esm.contact_head.regression
        found = torch.einsum("f,fij->ij", head.weight[0], torch.from_numpy(maps)) + head.bias
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


def test_a_model_without_attention_is_one_line(tmp_path: Path) -> None:
    from transformers import MambaConfig, MambaModel

    MambaModel(MambaConfig(vocab_size=70, hidden_size=16, num_hidden_layers=1)).save_pretrained(
        tmp_path / "mamba"
    )
    write_codon_tokenizer(tmp_path / "mamba")
    embedder: Any = open_model(str(tmp_path / "mamba"), EmbedSettings(max_tokens=32))
    with pytest.raises(ConfigError, match=r"\(mamba\) has no attention weights: take --contacts embeddings"):
        embedder.attention("ATGGCATTCGATTAA", width=3)


def test_eval_run_reads_contacts_of_codons_from_a_language_model(gpt2: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for split in ROWS:
        codons = ["".join(rng.choice(list("ACGT"), 3)) for _ in range(14)]
        rows.append(f"{''.join(codons)},1-9 3-14,{split}")
    yaml = ("kind: contacts\nmetric: p-at-contacts\nunit: codon\ndata: {file: t.csv}\n"
            f"{COLUMNS}contacts: {{first: 1}}\n")  # fmt: skip
    path = task(tmp_path, yaml, t__csv=table("seq,c,split", *rows))
    command = ["eval", "run", str(gpt2), "--task", str(path), "--out", str(tmp_path / "out"), "--resamples",
               "100", "--contacts", "attention", "--json"]  # fmt: skip
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    (result,) = json.loads(found.stdout)["results"]
    assert 0 <= result["lo"] <= result["value"] <= result["hi"] <= 1
    assert f"random-init:{gpt2}" in result["baselines"] and result["kind"] == "contacts"


def test_a_wrong_shape_is_one_line(tmp_path: Path) -> None:
    class Short(Planted):
        def attention(self, sequence: str, *, width: int) -> np.ndarray:
            return np.ones((1, 3, 3), np.float32)

    loaded = load_task(spots_task(tmp_path))
    reader = ContactReader(
        task=loaded, embedder=Short(), source="attention", cache=EmbeddingCache(tmp_path), seed=0
    )
    with pytest.raises(DataError, match="planted: 3 positions of a sequence of 40"):
        reader.run()
