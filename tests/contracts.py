"""What every entry of a catalog must do, in the manner of scikit-learn's `check_estimator`.

Each check states invariants that hold for any implementation; none compares with a stored output.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from biodata.errors import DataError, FetchError
from biodata.fetch.config import FetchConfig
from biodata.fetch.fetch import fetch
from biodata.fetch.remote import Request
from biodata.fetch.web import Web
from biodata.files import read_json
from biodata.io.raw import RAW_SCHEMA
from biodata.mmseqs import normalised
from biodata.similarity.search import NO_HITS
from biodata.sources.protocol import Source
from biodata.splits.config import SplitConfig
from biodata.splits.ways import SPLITTERS, Rows
from biodata.tokenizers.special import MASK, PAD, SPECIAL_TOKENS
from bioeval.backends.settings import EmbedSettings
from bioeval.backends.windows import Window
from bioeval.metrics.calibration import FeatureSets, calibrate, random_splits
from bioeval.metrics.protocol import Metric
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.probes.finetune import FineTune
from bioeval.protocols import KINDS, Part, Probe, Scorer, SequenceScores
from bioeval.scores import metrics_for, score
from bioeval.tasks import load_task
from bioeval.tasks.contact_targets import structures_of
from bioeval.tasks.loader import read_task
from bioeval.tasks.token_targets import units_in
from biotrain.export import export_model
from biotrain.layers.pair import Pair
from biotrain.layers.transformer import Transformer
from biotrain.layout import native
from biotrain.models import MODELS, ModelConfig, build_model
from biotrain.models.size import count_parameters
from biotrain.objectives import IGNORE, Objective
from biotrain.optim import OptimConfig, build_optimizer
from biotrain.optim.groups import set_learning_rate

from .archive_server import ArchiveServer, Cut, Status, WholeFile
from .task_files import make_files
from .vocabularies import dna_tokens

FIRST = len(SPECIAL_TOKENS)


def check_model(name: str, *, bidirectional: bool, vocab_size: int = 20) -> None:
    """Shapes, padding and packing invariance, causality as declared, gradients everywhere also in bf16, the
    closed-form size; what its own loop of generation reads piece by piece is what it reads at once."""
    shape = {"heads": 2} if "heads" in MODELS.load(name).takes else {}
    config = ModelConfig(name=name, bidirectional=bidirectional, layers=2, width=16, context=12, **shape)
    config = config.architecture.of_tokens(config, dna_tokens(vocab_size))
    model = build_model(config, vocab_size=vocab_size, seed=3)
    generator = torch.Generator().manual_seed(0)
    _wake(model, generator)
    ids = torch.randint(FIRST, vocab_size, (3, 10), generator=generator)
    ids[:, 2] = MASK
    mask = torch.ones_like(ids, dtype=torch.bool)
    logits = model(ids, mask=mask)
    assert logits.shape == ((3, 10) if isinstance(model, Pair) else (3, 10, vocab_size))
    padded = torch.cat([ids, torch.full((3, 2), PAD)], dim=1)
    real = torch.arange(12)[None, :] < 10
    torch.testing.assert_close(model(padded, mask=real.expand(3, 12))[:, :10], logits)
    torch.testing.assert_close(model(ids[:1], mask=mask[:1]), logits[:1])
    documents = (torch.arange(10) >= 4).long().expand(3, 10)
    apart = torch.cat([model(ids[:, :4]), model(ids[:, 4:])], dim=1)
    torch.testing.assert_close(model(ids, documents=documents), apart)
    changed = ids.clone()
    changed[:, -1] = FIRST + (changed[:, -1] - FIRST + 1) % (vocab_size - FIRST)
    same_before = torch.allclose(model(changed, mask=mask)[:, :-1], logits[:, :-1], rtol=0, atol=1e-7)
    assert same_before == model.causal == (not bidirectional)
    if model.causal:
        cache = model.new_cache(3, 12)
        pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 3), (3, 4), (4, 10))]
        torch.testing.assert_close(torch.cat(pieces, dim=1), logits)
    for precision in (torch.float32, torch.bfloat16):
        model.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            _every_output(model, ids, mask).float().square().mean().backward()
        bad = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert bad == []
    built = sum(p.numel() for p in model.parameters())
    assert count_parameters(config, vocab_size=vocab_size)["total"] == built


def check_export(name: str, folder: Path, *, bidirectional: bool) -> None:
    """One modeling file, which stands alone and is all that `auto_map` names; none for a native class."""
    shape = {"heads": 2} if "heads" in MODELS.load(name).takes else {}
    config = ModelConfig(name=name, bidirectional=bidirectional, layers=2, width=16, context=12, **shape)
    config = config.architecture.of_tokens(config, dna_tokens(20))
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    export_model(build_model(config, vocab_size=20), folder / "tokenizer", folder / "model")
    for written in (folder / "model").rglob("config.json"):
        named = read_json(written).get("auto_map", {}).values()
        files = sorted(written.parent.glob("*.py"))
        assert {f"{value.split('.')[0]}.py" for value in named} == {file.name for file in files}
        assert len(files) == (0 if native(config) else 1)
        assert not any(re.search(r"^\s*from \.", file.read_text(), re.MULTILINE) for file in files)


def _every_output(model: Transformer, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits; of a pair those of all its parts."""
    if not isinstance(model, Pair):
        return model(ids, mask=mask)
    found = model(ids, mask=mask, rows=mask, noise=torch.full((mask.numel(),), 0.5))
    parts = (found.generated, found.verdicts, found.corrected)
    return torch.cat([part.flatten() for part in parts if part is not None])


def _wake(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Gives matrices that start at zero, so that blocks start as the identity, something to do."""
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim >= 2 and not p.any():
                p.normal_(0, 0.3, generator=generator)


def check_scorer(make: Callable[[int], Scorer], sequences: Sequence[str]) -> SequenceScores:
    """Finite scores of every sequence, in order, whatever stands beside it; equal settings, equal keys.

    Args:
        make: a new scorer by its batch size.
        sequences: of unlike length, at least three.
    """
    scorer, single = make(len(sequences)), make(1)
    assert isinstance(scorer, Scorer) and scorer.key == single.key
    found, two = scorer.score(sequences), single.score([sequences[2], sequences[1]])
    assert found.total.shape == found.n_tokens.shape == found.error.shape == (len(sequences),)
    assert found.n_tokens.dtype == np.int64 and (found.n_tokens > 0).all() and (found.error >= 0).all()
    assert np.isfinite(found.total).all() and (found.total < 0).all()
    np.testing.assert_allclose(two.total, found.total[[2, 1]], atol=1e-4)
    assert len(scorer.score([]).total) == 0
    return found


def check_loss(module: torch.nn.Module, *, vocab_size: int) -> None:
    """Not negative, smaller for the right answer, finite with a gradient at extreme logits; parts add up."""

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        by_sequence = getattr(module, "by_sequence", False)
        return module(logits, targets, *([torch.ones_like(targets)] if by_sequence else []))

    targets = torch.arange(vocab_size)
    right = torch.full((vocab_size, vocab_size), -3.0).fill_diagonal_(3.0)
    wrong = right.roll(7, dims=1)
    assert 0 <= loss(right, targets) < loss(torch.zeros_like(right), targets) < loss(wrong, targets)
    for scale in (1.0, 200.0, 1e4):
        logits = (wrong.sign() * scale).requires_grad_()
        value = loss(logits, targets)
        value.backward()
        assert value.isfinite() and logits.grad is not None
        assert logits.grad.isfinite().all() and (logits.grad.abs().sum(dim=1) > 0).all()
    half = vocab_size // 2
    parts = [loss(wrong[a:b], targets[a:b]) * (b - a) for a, b in ((0, half), (half, vocab_size))]
    torch.testing.assert_close(torch.stack(parts).sum() / vocab_size, loss(wrong, targets))


def check_optimizer(name: str) -> None:
    """Any optimizer: lowers a loss, obeys the learning rate, keeps tensors only, by parameter."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(layers=1, width=16, heads=2, context=8), vocab_size=12)
    optimizer = build_optimizer(model, OptimConfig(name=name, lr=0.01, weight_decay=0.0))
    ids = torch.randint(6, 12, (4, 8))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    known = set(model.parameters())
    for parameter, state in optimizer.state.items():
        assert parameter in known and all(torch.is_tensor(value) for value in state.values())
    set_learning_rate(optimizer, 0.0)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before))


def check_objective(objective: Objective, *, vocab_size: int = 40) -> None:
    """Targets are tokens of the sequence, padding is never one, equal seeds give equal batches."""
    ids = torch.randint(FIRST, vocab_size, (4, 16), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, 11] = 1, 2
    mask = torch.arange(16)[None, :].expand(4, 16) < 12
    ids = ids.masked_fill(~mask, PAD)
    before = ids.clone()
    inputs, targets = objective.prepare(ids, mask, torch.Generator().manual_seed(2))[:2]
    again = objective.prepare(ids, mask, torch.Generator().manual_seed(2))
    assert torch.equal(ids, before) and torch.equal(inputs, again[0]) and torch.equal(targets, again[1])
    assert inputs.shape == targets.shape and inputs.shape[1] <= ids.shape[1] + objective.room
    wanted = targets != IGNORE
    assert wanted.any(dim=1).all() and not (targets[wanted] == PAD).any()
    source = inputs.roll(-1, dims=1) if objective.causal else ids
    assert torch.equal(targets[wanted], source[wanted])


def check_reader(read: Callable[..., Any], example: bytes, folder: Path) -> None:
    """Gives `RAW_SCHEMA` whatever the compression; damaged files are errors that name the file."""
    plain, packed = folder / "plain", folder / "plain.gz"
    plain.write_bytes(example)
    packed.write_bytes(gzip.compress(example, mtime=0))
    batches = list(read(plain))
    # further columns of `SCHEMA` may follow
    assert batches and all(b.select(RAW_SCHEMA.names).schema.equals(RAW_SCHEMA) for b in batches)
    assert sum(b.num_rows for b in batches) == 2
    if example.startswith(b"PAR1"):  # packed inside, without lines
        plain.write_bytes(example[:-12])
        with pytest.raises(DataError, match="plain"):
            list(read(plain))
        return
    assert [b.to_pylist() for b in read(packed)] == [b.to_pylist() for b in batches]
    for row in (row for batch in batches for row in batch.to_pylist()):
        assert row["id"] and row["sequence"] and row["line"] >= 1
    plain.write_bytes(b"")
    assert sum(b.num_rows for b in read(plain)) == 0  # an empty file is refused by `detect_format`
    packed.write_bytes(gzip.compress(example, mtime=0)[:-12])
    with pytest.raises(DataError, match=r"plain\.gz"):
        list(read(packed))


def check_source(
    source: Source, files: Mapping[str, bytes], requests: Sequence[Request], folder: Path
) -> None:
    """Says what it is and under which terms; lists, and only lists, files of a played archive that are there;
    they arrive whole though the server is busy, cuts and ignores Range.

    Args:
        source: an entry of `SOURCES`.
        files: `host/path` to bytes, for `ArchiveServer`.
        requests: one for each kind that the played archive has.
        folder: an empty one.
    """
    for text in (source.name, source.title, source.licence, source.size):
        assert text and "\n" not in text
    assert source.home.startswith(("https://", "http://")) and re.fullmatch(
        r"(doi:10\.\S+)?", source.citation
    )
    assert source.kinds and all(source.kinds.values()) and all(source.parts.values())
    kinds = {
        source.kind_for(alphabet, take)
        for alphabet in ("dna", "rna", "protein")
        for take in ("records", "cds")
    }
    assert kinds <= set(source.kinds)
    names = {re.fullmatch(r"[A-Za-z0-9_.+-]+", name) for name in (*source.parts, *source.kinds)}
    assert None not in names and requests
    with ArchiveServer(files) as server:
        web = Web(mirrors=server.mirrors, sleep=lambda seconds: None)
        listings = []
        for request in requests:
            assert request.part in source.parts or not source.parts
            listing = source.listing(request, web)
            assert listing == source.listing(request, web)
            listings.append(listing)
            paths = [file.url.split("://")[1] for file in listing.files]
            assert paths and set(paths) <= set(files)
            for file, path in zip(listing.files, paths):
                assert file.size in (None, len(files[path]))
                assert file.md5 in (None, hashlib.md5(files[path]).hexdigest())
                assert file.sha256 in (None, hashlib.sha256(files[path]).hexdigest())
            assert not {a.path for a in server.asked if a.method == "GET"} & set(paths)
            server.faults[paths[0]] = [Status(429, "0"), Cut(3), WholeFile()]
            config = FetchConfig(sources=(f"{source.name}:{request.part}:{request.what}",))
            fetch(config, folder / f"{request.part}-{request.what}", web=web)
            for file, path in zip(listing.files, paths):
                arrived = folder / f"{request.part}-{request.what}" / file.name
                assert arrived.read_bytes() == files[path]
            server.asked.clear()
        server.files = dict.fromkeys(files, b"<!doctype html><html></html>")
        for request, listing in zip(requests, listings):
            try:
                assert source.listing(request, web) == listing  # a source whose files are always the same
            except (DataError, FetchError) as error:
                assert "\n" not in str(error)


def check_metric(metric: Metric) -> None:
    """A set is at distance 0 from itself, below a random one; the null is an interval with a unit."""
    rng = np.random.default_rng(0)
    genes = ["ATG" + "".join(rng.choice(["GCA", "GCC", "AAA", "GAT", "CTG"], 30)) + "TAA" for _ in range(12)]
    other = ["".join(rng.choice(list("ACGT"), 90)) for _ in range(12)]
    sets = [SequenceSet.from_strings(s) for s in (genes, other)]
    first, second, shuffled = (metric.features(s) for s in (*sets, sets[0].shuffled(1)))
    every = np.ones((1, 12), bool)
    same = metric.compare(first, first, rows=every, others=every)
    apart = metric.compare(second, first, rows=every, others=every)
    assert same.shape == apart.shape == (1, len(metric.measures))
    assert np.isfinite(same).all() and np.isfinite(apart).all()
    distance = np.array([m.kind == "distance" for m in metric.measures])
    np.testing.assert_allclose(same[0, distance], 0, atol=1e-12)
    assert (apart[0, distance] > 0).all() and not np.array_equal(same, apart)
    np.testing.assert_array_equal(same, metric.compare(first, first, rows=every, others=every))
    splits = random_splits(12, 12, resamples=20, seed=0)
    results = calibrate(metric, FeatureSets(second, first, shuffled), sizes=(12, 12), splits=splits)
    assert [r["name"] for r in results] == [m.name for m in metric.measures]
    assert all(r["unit"] and r["title"] and r["null_lo"] <= r["null_hi"] for r in results)


def check_probe(probe: Probe) -> None:
    """For each target it can learn: recovers a planted relation, the same at each call with one seed."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    if probe.reads == "sequences":
        assert isinstance(probe, FineTune)
        probe = replace(probe.of(TinyModel()), rates=(0.05,))
    probe = _quick(probe)
    for target in probe.targets:
        y = {"number": x @ np.arange(6.0), "class": (x[:, 0] > 0).astype(int) + (x[:, 0] > 1),
             "labels": (x[:, :2] > 0).astype(float)}[target]  # fmt: skip
        metric = {"number": "spearman", "class": "auroc", "labels": "auroc"}[target]
        parts = (_probe_part(probe, x, y, rows) for rows in np.split(np.arange(150), (90, 120)))
        train, validation, test = parts
        assert train.target == target
        fitted = probe.fit(train, validation, metric=metric, seed=1)
        predicted = fitted.predict(test)
        assert predicted.shape == ((30,) if target == "number" else (30, 3 if target == "class" else 2))
        assert score(metric, test.y, predicted) > 0.8
        assert target == "number" or (predicted.min() >= 0 and predicted.max() <= 1)
        assert {"probe", "seed", "grid", "chosen_on", "fitted_on", "settings_tried"} <= set(fitted.settings)
        if target == probe.targets[0]:
            again = probe.fit(train, validation, metric=metric, seed=1)
            np.testing.assert_array_equal(predicted, again.predict(test))


def _quick(probe: Any) -> Any:
    """The probe with one setting of what takes long."""
    known = {f.name: getattr(probe, f.name) for f in fields(probe)}
    less: dict[str, Any] = {"trees": 40}
    less |= {k: known[k][-1:] for k in ("rates", "hidden", "dropout", "leaf", "share") if k in known}
    if "schedule" in known:
        less["schedule"] = replace(known["schedule"], epochs=60, patience=8)
    return replace(probe, **{k: v for k, v in less.items() if k in known})


def _probe_part(probe: Probe, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Part:
    """Rows as the probe reads them; a row of tokens is three noisy tokens and the one that tells."""
    k = 3 if y.dtype.kind == "i" else 0
    if probe.reads == "sequences":
        texts = tuple(" ".join(f"{v:.3f}" for v in row) for row in x[rows])
        return Part(sequences=texts, y=y[rows], classes=k)
    if probe.reads == "vectors":
        return Part(x=x[rows], y=y[rows], classes=k)
    noise = np.random.default_rng(1).normal(0, 0.1, (len(rows), 3, x.shape[1])).astype(np.float32)
    tokens = np.concatenate([noise, x[rows][:, None]], axis=1).reshape(-1, x.shape[1])
    return Part(x=tokens, lengths=np.full(len(rows), 4), y=y[rows], classes=k)


class TinyModel:
    """An embedder to train: a sequence is six numbers, a token one of them (its id tells place and sign)."""

    name, key = "tiny", "tiny"
    settings = EmbedSettings()
    checkpoint = SimpleNamespace(pad=0)

    def fresh_model(self) -> torch.nn.Module:
        class Body(torch.nn.Module):
            config = SimpleNamespace(hidden_size=24)

            def __init__(self) -> None:
                super().__init__()
                levels = torch.zeros(200, 24)
                for place in range(6):
                    levels[1 + 30 * place : 26 + 30 * place, place] = (torch.arange(25) - 12) / 4
                self.table = torch.nn.Embedding.from_pretrained(levels, freeze=False)
                self.query = torch.nn.Linear(24, 24)

            def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
                return SimpleNamespace(last_hidden_state=self.query(self.table(input_ids)))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Body()

    def windows(self, sequences: Sequence[str]) -> list[Window]:
        made = []
        for owner, text in enumerate(sequences):
            levels = np.clip(np.round(np.array(text.split(), float) * 4) + 12, 0, 24).astype(int)
            ids = tuple((1 + levels + 30 * np.arange(6)).tolist())
            made += [Window(owner, 0, ids[:4], 0, 4), Window(owner, 1, ids[4:], 0, 2)]
        return made


def check_task_file(name: str) -> None:
    """At most 15 lines; says where its data comes from, under which licence, and what is wrong with it."""
    config, path = read_task(name)
    assert len(path.read_text().splitlines()) <= 15
    assert config.name == name and config.title and config.note and config.licence != "unknown"
    assert config.data.url or config.data.home or config.data.dataset
    assert (config.data.url or "https://").startswith("https://")
    assert config.kind in KINDS and config.metric in metrics_for(config.kind, classes=config.by_class)
    assert "{each}" not in repr(config)


def check_task(name: str, folder: Path) -> None:
    """Hand-made files of its layout are read: targets of its kind, splits that do not share a sequence where
    they are drawn, the same at each call; a row of wrong letters is one line with file and line."""
    config, path = read_task(name)
    kept = [line for line in path.read_text().splitlines()
            if not line.startswith(("  sha256:", "least:", "rows:", "wildtype:"))]  # fmt: skip
    (folder / "t.yaml").write_text("\n".join(kept) + "\n")
    make_files(config, folder)
    item = f":{name.partition(':')[2]}" if ":" in name else ""
    task = load_task(f"{folder / 't.yaml'}{item}")
    assert (
        task.kind == config.kind and task.fingerprint == load_task(f"{folder / 't.yaml'}{item}").fingerprint
    )
    assert set(task.splits()) >= {"test"} and len(set(task.table["id"].to_pylist())) == task.table.num_rows
    for split in task.splits():
        values, n = task.values(split), task.rows(split).num_rows
        assert len(task.sequences(split)) == n
        if task.kind == "token":
            assert len(values) == sum(map(len, task.token_values(split))) == len(task.token_rows(split))
        else:
            assert len(values) == n and (values.ndim == 2) == (task.kind == "multi-label")
        assert values.dtype == (np.int64 if task.classes and values.ndim == 1 else np.float64)
        if task.kind == "contacts":
            structures = structures_of(task, split)
            units = [units_in(sequence, task.width) for sequence in task.sequences(split)]
            assert [len(s.known) for s in structures] == units
            assert [int(s.pairs()[2].sum()) for s in structures] == values.tolist()
        assert (task.seconds(split) is not None) == (
            task.kind == "pairs" or "mutant" in task.table.column_names
        )
    if config.way in ("random", "group", "cluster", "scaffold"):
        parts = [set(task.sequences(split)) for split in task.splits()]
        assert sum(map(len, parts)) == len(set.union(*parts))


def check_splitter(name: str) -> None:
    """Units are numbered from 0 without gaps, places are splits or free, equal calls give equal units."""
    texts = [f"[C]{'[O]' * (at % 4)}[N]" for at in range(40)]
    molecules = name == "scaffold"
    raw = pa.chunked_array(
        [pa.array(texts if molecules else [t * 9 for t in ("MKV", "AWY", "GHI", "DEN")] * 10)]
    )
    alphabet = "selfies" if molecules else "protein"
    values = {
        "sequence": raw,
        "study": [f"x{at % 5}" for at in range(40)],
        "organism": [f"Genus{at % 3} y" for at in range(40)],
        "date": [f"20{10 + at}" for at in range(40)],
    }
    columns = {
        key: pa.chunked_array([pa.array(v)]) if isinstance(v, list) else v for key, v in values.items()
    }
    config = SplitConfig(by=name, group=("study",), threads=1)  # pyright: ignore[reportArgumentType]
    with TemporaryDirectory() as folder:
        rows = Rows(sequences=normalised(raw, alphabet=alphabet), alphabet=alphabet, columns=columns,
                    links=NO_HITS, workdir=Path(folder))  # fmt: skip
        first, again = (SPLITTERS.load(name)(rows, config) for _ in range(2))
    assert first.labels.shape == first.place.shape == (40,)
    assert set(first.labels.tolist()) == set(range(int(first.labels.max()) + 1))
    assert set(first.place.tolist()) <= {-1, 0, 1, 2} and isinstance(first.info["method"], str)
    assert np.array_equal(first.labels, again.labels) and np.array_equal(first.place, again.place)
