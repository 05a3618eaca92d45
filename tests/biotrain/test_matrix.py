"""Models x objectives x losses x positions x tokenizers: what makes sense trains, what does not is refused.

What makes sense is written here a second time, by hand, beside the tables of the product. Every sensible
model x direction x objective x loss is trained for three steps. Positions and tokenizers go round among these
runs, and a few more, so that every sensible pair of either with a model, with an objective and with a loss is
trained too. What does not make sense is refused by one documented line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch

from biodata.codon import CODONS
from biodata.errors import ConfigError
from biodata.schema import BioSequence, table_from_records
from biodata.tokenizers import TOKENIZERS, TokenizerConfig, train_tokenizer
from biotrain.config import OptimConfig, TrainConfig
from biotrain.device import choose_hardware
from biotrain.losses import LOSSES, LossConfig
from biotrain.models import MODELS, ModelConfig
from biotrain.models.architecture import POSITIONS
from biotrain.models.diffusion_config import ImageConfig
from biotrain.objectives import OBJECTIVES, ObjectiveConfig
from biotrain.parts import Parts, build_parts
from biotrain.step import train_step, validate
from tests.biotrain.conftest import write_splits

EVERYWHERE = {"learned", "rope", "alibi", "none"}
WHERE: dict[str, tuple[set[bool], set[str]]] = {
    "based": ({False, True}, {"none", "rope", "learned"}),
    "bert": ({False, True}, EVERYWHERE),
    "bimamba": ({True}, {"none", "learned"}),
    "caduceus": ({True}, {"none"}),
    "dit": ({True}, {"rope", "alibi", "learned"}),
    "dit_image": ({True}, {"fixed"}),
    "electra": ({True}, {"learned", "rope", "alibi", "relative"}),
    "gpt2": ({False, True}, EVERYWHERE),
    "hyena": ({False, True}, {"none", "learned"}),
    "llama": ({False, True}, EVERYWHERE),
    "mamba": ({False}, {"none", "learned"}),
    "mamba2": ({False}, {"none", "learned"}),
    "metro": ({True}, {"learned", "rope", "alibi", "relative"}),
    "modernbert": ({True}, {"rope"}),
    "moe": ({False, True}, EVERYWHERE),
}
"""Directions (whether a model sees both sides) and positions."""

BLIND = {"bert", "gpt2", "llama", "moe"}
"""Those that know no order without positions when they see both sides."""

OWN = {
    "dit": {"masked_diffusion", "mlm"},
    "dit_image": {"image_diffusion"},
    "electra": {"rtd"},
    "metro": {"rtd"},
}
"""Models that learn by these objectives alone."""

BOTH_SIDES = {"mlm", "masked_diffusion", "rtd", "image_diffusion"}
OF_THEIR_OWN = {"masked_diffusion", "image_diffusion"}
CODON_LOSSES = {"hxe", "soft_labels", "aa_loss_add", "aa_loss_only"}
LETTERS = {"nuc", "nuc16"}
STRANDED = {*LETTERS, "codon", "6mer", "kmer"}

REFUSALS = {
    "direction": "has no bidirectional",
    "position": "has no position",
    "order": "position 'none' needs a causal model",
    "own objectives": "learns by objective",
    "their models": "is not for model",
    "sees": "objective '.*' needs a (causal model|model that sees both sides), got",
    "own loss": "has a loss of its own",
    "in order": "needs every token of a sequence predicted in order",
    "codons": "needs a codon tokenizer",
    "letters": "needs a tokenizer of single nucleotides",
    "text": "needs a tokenizer of text and sequences",
    "strands": "reads both strands, but",
}
"""Why, and the documented line."""


class Case(NamedTuple):
    model: str
    bidirectional: bool
    position: str
    objective: str
    loss: str
    tokenizer: str


def reasons(case: Case) -> set[str]:
    """Why a combination makes no sense; empty where it does."""
    directions, positions = WHERE[case.model]
    both = case.objective in BOTH_SIDES
    alone = any(case.objective in own for own in OWN.values()) and case.objective not in (
        "mlm",
        "masked_diffusion",
    )
    found = {
        "direction": case.bidirectional not in directions,
        "position": case.position not in positions,
        "order": case.position == "none" and case.bidirectional and case.model in BLIND,
        "own objectives": case.model in OWN and case.objective not in OWN[case.model],
        "their models": alone and case.model not in OWN,
        "sees": case.bidirectional != both,
        "own loss": case.objective in OF_THEIR_OWN and case.loss != "xe",
        "in order": case.loss == "topological" and case.objective != "clm",
        "codons": case.loss in CODON_LOSSES and case.tokenizer != "codon",
        "letters": (case.loss == "topological" or case.objective == "image_diffusion")
        and case.tokenizer not in LETTERS,
        "text": case.objective == "text_to_sequence" and case.tokenizer != "joint",
        "strands": case.model == "caduceus" and case.tokenizer not in STRANDED,
    }
    return {name for name, holds in found.items() if holds}


def model_of(case: Case) -> ModelConfig:
    image = {"image": ImageConfig(side=4, patch=2)} if case.model == "dit_image" else {}
    return ModelConfig(
        name=case.model, bidirectional=case.bidirectional, layers=1, width=16, heads=heads_of(case.model),
        context=48, position=case.position, **image,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def heads_of(model: str) -> int:
    return 2 if "heads" in MODELS.load(model).takes else 0


def config_of(case: Case, **folders: Any) -> TrainConfig:
    return TrainConfig(
        model=model_of(case), objective=ObjectiveConfig(name=case.objective), loss=LossConfig(name=case.loss),
        optim=OptimConfig(lr=1e-3), batch_size=4, precision="fp32", device="cpu", threads=1, **folders,
    )  # fmt: skip


def refused(case: Case, attempt: Callable[[], object]) -> None:
    """By one line, and by one that applies."""
    with pytest.raises(ConfigError) as caught:
        attempt()
    line = str(caught.value)
    assert "\n" not in line and any(re.search(REFUSALS[why], line) for why in reasons(case)), (case, line)


class Corpus(NamedTuple):
    """What a tokenizer reads, in memory and as a folder, and the tokenizer made of it."""

    folder: Path
    tables: Mapping[str, pa.Table]
    tokenizer: Path

    def table(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        return self.tables[split].select(list(columns or []))


def rows_of(kind: str, split: str, count: int) -> list[BioSequence]:
    random = np.random.default_rng([len(kind), len(split)])
    pieces, alphabet = {
        "aa": (list("ACDEFGHIKLMNPQRSTVWY"), "protein"),
        "selfies": (["[C]", "[O]", "[N]", "[=C]"], "selfies"),
    }.get(kind, (list(CODONS), "dna"))
    return [
        BioSequence(id=f"{split}{i}", sequence="".join(random.choice(pieces, 12)), alphabet=alphabet,
                    split=split, text=f"gene {i % 3}" if alphabet == "dna" else None)
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Corpus]]:
    root, made = tmp_path_factory.mktemp("matrix"), {}
    sizes = {"joint": 400, "bpe": 24, "wordpiece": 24, "unigram": 24, "sentencepiece": 24}
    for kind in TOKENIZERS:
        tables = {
            split: table_from_records(rows_of(kind, split, n))
            for split, n in (("train", 8), ("validation", 4))
        }
        folder = write_splits(root / f"{kind}-data", tables)
        more: dict[str, Any] = (
            {"vocab_size": sizes[kind]} if kind in sizes else {"k": 2} if kind == "kmer" else {}
        )
        train_tokenizer(TokenizerConfig(kind=kind, data=folder, out=root / kind, **more))
        made[kind] = Corpus(folder, tables, root / kind)
    yield made


def parts_of(case: Case, corpus: Corpus) -> Parts:
    config = config_of(case, data=corpus.folder, tokenizer=corpus.tokenizer, out=corpus.folder / "run")
    return build_parts(config, corpus, choose_hardware(device="cpu", precision="fp32", threads=1))


def everything() -> Iterator[Case]:
    for model, (directions, positions) in WHERE.items():
        for both, position in product(sorted(directions), sorted(positions)):
            for objective, loss, kind in product(OBJECTIVES, LOSSES, TOKENIZERS):
                case = Case(model, both, position, objective, loss, kind)
                if not reasons(case):
                    yield case


def pairs_of(case: Case) -> set[tuple[str, ...]]:
    """Pairs that are to be trained, and the four values that make a run."""
    return {
        ("run", case.model, str(case.bidirectional), case.objective, case.loss),
        ("model, position", case.model, str(case.bidirectional), case.position),
        ("model, tokenizer", case.model, case.tokenizer),
        ("objective, position", case.objective, case.position),
        ("objective, tokenizer", case.objective, case.tokenizer),
        ("loss, position", case.loss, case.position),
        ("loss, tokenizer", case.loss, case.tokenizer),
    }


def covering() -> list[Case]:
    """Few sensible cases with every sensible pair among them: again and again the one that brings most."""
    sensible = list(everything())
    brings = [pairs_of(case) for case in sensible]
    missing, chosen = set().union(*brings), []
    runs: dict[tuple[str, ...], list[int]] = {}
    for at, case in enumerate(sensible):
        runs.setdefault((case.model, str(case.bidirectional), case.objective, case.loss), []).append(at)
    for members in runs.values():
        best = max(members, key=lambda at: len(brings[at] & missing))
        chosen.append(sensible[best])
        missing -= brings[best]
    while missing:
        best = max(range(len(sensible)), key=lambda at: len(brings[at] & missing))
        chosen.append(sensible[best])
        missing -= brings[best]
    return chosen


def test_the_tables_are_the_ones_known_here() -> None:
    """A new model, objective, loss, position or tokenizer has to say here what makes sense with it."""
    assert set(MODELS) == set(WHERE)
    assert set(OBJECTIVES) == BOTH_SIDES | {"clm", "fim", "text_to_sequence"}
    assert set(LOSSES) == CODON_LOSSES | {"xe", "topological"}
    assert {p for name in MODELS for p in MODELS.load(name).positions} == {*POSITIONS, "relative", "fixed"}
    kinds = {
        "6mer",
        "aa",
        "bpe",
        "codon",
        "joint",
        "kmer",
        "nuc",
        "nuc16",
        "selfies",
        "sentencepiece",
        "unigram",
    }
    assert set(TOKENIZERS) == kinds | {"wordpiece"}


def test_what_makes_no_sense_is_refused_before_anything_is_read() -> None:
    """Model x direction x position, and model x direction x objective x loss at each model's own position."""
    count = 0
    for model, both, position in product(MODELS, (False, True), (*POSITIONS, "relative", "fixed")):
        own = min(OWN.get(model, {"mlm" if both else "clm"}))
        case = Case(model, both, position, own, "xe", "nuc")
        if reasons(case) & {"direction", "position", "order"}:
            refused(case, lambda case=case: model_of(case))
            count += 1
        else:
            model_of(case)
    for model, both, objective, loss in product(MODELS, (False, True), OBJECTIVES, LOSSES):
        position = MODELS.load(model).positions[0]
        if both not in WHERE[model][0] or (position == "none" and both and model in BLIND):
            continue
        case = Case(model, both, position, objective, loss, "codon")
        if reasons(case) - {"codons", "letters", "text", "strands"}:
            refused(case, lambda case=case: config_of(case))
            count += 1
        else:
            config_of(case)
    assert count > 700


def test_tokenizers_that_do_not_fit_are_refused(corpora: dict[str, Corpus]) -> None:
    """Every loss, objective and model with every tokenizer; those that fit are trained below."""
    count = 0
    cases = [Case("gpt2", False, "learned", "clm", loss, kind) for loss in LOSSES for kind in TOKENIZERS]
    for objective, kind in product(OBJECTIVES, TOKENIZERS):
        model = next((name for name, own in OWN.items() if objective in own), "bert")
        both = objective in BOTH_SIDES
        cases.append(Case(model, both, MODELS.load(model).positions[0], objective, "xe", kind))
    for model, kind in product(MODELS, TOKENIZERS):
        both = MODELS.load(model).bidirectional
        objective = min(OWN.get(model, {"mlm" if both else "clm"}))
        cases.append(Case(model, both, MODELS.load(model).positions[0], objective, "xe", kind))
    for case in dict.fromkeys(cases):
        if reasons(case):
            refused(case, lambda case=case: parts_of(case, corpora[case.tokenizer]))
            count += 1
    assert count > 80


def test_what_makes_sense_trains(corpora: dict[str, Corpus]) -> None:
    """Three steps: finite losses, weights that move, a validation. See above for which are chosen."""
    chosen = covering()
    assert {c[:2] + c[3:5] for c in chosen} == {c[:2] + c[3:5] for c in everything()}
    for case in chosen:
        parts = parts_of(case, corpora[case.tokenizer])
        before = [p.detach().clone() for p in parts.model.parameters()]
        rows = parts.train.rows(np.arange(4))
        for step in (1, 2, 3):
            parts.optimizer.param_groups[0]["lr"] = 1e-3
            result = train_step(parts, rows, step)
            assert result.loss.isfinite() and result.grad_norm > 0, case
        assert any(not torch.equal(p, old) for p, old in zip(parts.model.parameters(), before)), case
        scores = validate(parts, batches=1, stopped=lambda: False)
        assert scores and np.isfinite(scores["val_loss"]), case
