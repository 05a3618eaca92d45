"""A model in the Hugging Face layout: tokenizer, context and weights, each loaded when it is needed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from biodata.errors import ConfigError, DataError
from biodata.files import read_json
from biodata.progress import say
from biodata.tokenizers.rows import JOINT, TAGS
from bioeval.backends.windows import Frame

_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_OFFSET = frozenset({"roberta", "xlm-roberta", "camembert", "data2vec-text", "longformer", "mpnet", "esm"})
"""Families that count places from the padding token's id: so much of their table is never used."""
_OWN_FILE = "biotrain.json"
_UNKNOWN_ALLOWED = 0.01
_UNREAD = frozenset({"pooler", "contact_head", "decoder"})
"""Parts of an `AutoModel` whose output is not read, so that a folder may lack their weights."""


class Running(Protocol):
    """What settings say about how a model runs."""

    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder with `config.json`, weights and tokenizer.

    Attributes:
        name: for people.
        folder: where.
        settings: precision, device, longest window.
        seed: `None` takes the trained weights, a number draws new ones.
        own_code: whether the folder's modeling file may run.
    """

    name: str
    folder: Path
    settings: Running
    seed: int | None = None
    own_code: bool = False

    def load(self, auto: str = "AutoModel") -> Any:
        """A new model in evaluation mode, on its device.

        Args:
            auto: class of transformers. Every weight must be in the folder; of `AutoModel` only those of
                what is read: of models with encoder and decoder the encoder.

        Raises:
            DataError: the folder cannot be read, or lacks weights of the class.
        """
        import torch
        import transformers

        dtype, kind = getattr(torch, self.settings.dtype), getattr(transformers, auto)
        # Weights that a file lacks (a pooler) are drawn too: neither draw may touch the global state.
        with quiet(), one_line(self.folder), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed or 0)
            if self.seed is None:
                model, found = kind.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=self.own_code, dtype=dtype,
                    output_loading_info=True,
                )  # fmt: skip
            else:
                model, found = kind.from_config(self.config, trust_remote_code=self.own_code).to(dtype), {}
        _check_weights(model, found.get("missing_keys", ()), auto, self.folder)
        if auto == "AutoModel" and getattr(model.config, "is_encoder_decoder", False):
            model = model.get_encoder()
        if getattr(model.config, "use_cache", False):
            model.config.use_cache = False  # keys and values kept for generating would only be copied
        return model.eval().to(self.device)

    def tokens(self, sequences: Sequence[str]) -> list[list[int]]:
        """Token ids of each sequence, special tokens left out.

        Raises:
            DataError: a sequence without a single token.
        """
        return self.encode(sequences)["input_ids"]

    def encode(self, sequences: Sequence[str], *, offsets: bool = False) -> Mapping[str, Any]:
        """`input_ids`, and with `offsets` the letters of each token, `offset_mapping`."""
        more = {"return_offsets_mapping": True} if offsets else {}
        mark = self._mark
        found = self.tokenizer([mark + sequence for sequence in sequences], add_special_tokens=False, **more)
        if mark:
            found = {name: [row[1:] for row in rows] for name, rows in found.items()}
            for spans in found.get("offset_mapping", ()):
                spans[:] = [(start - len(mark), end - len(mark)) for start, end in spans]
        for sequence, content in zip(sequences, found["input_ids"]):
            if not content:
                hint = f"tokenizer of {self.name}"
                raise DataError("a sequence gives no token", where=repr(sequence[:20]), hint=hint)
        if (size := self._vocabulary) is not None:
            most = max((max(content) for content in found["input_ids"]), default=0)
            if most >= size:
                what = f"its tokenizer gives token {most}, the model knows 0 to {size - 1}"
                raise DataError(what, where=self.folder, hint="a tokenizer of another model?")
        return found

    def frame(self, sequence: str) -> Frame:
        """What the tokenizer puts around a sequence: special tokens, and marks as in training."""
        closed = self._mark.replace("<", "</")
        whole = self.tokenizer(f"{self._mark}{sequence}{closed}")["input_ids"]
        inner = self.tokens([sequence])[0]
        starts = range(len(whole) - len(inner) + 1)
        at = next((i for i in starts if whole[i : i + len(inner)] == inner), None)
        if at is None:
            where = f"tokenizer of {self.name}"
            raise DataError("its tokens change when special tokens are added", where=where)
        return Frame(tuple(whole[:at]), tuple(whole[at + len(inner) :]))

    @cached_property
    def _mark(self) -> str:
        """`<dna>` or `<protein>` where the tokenizer reads texts, too, and letters alone would be words."""
        about, made = (self._said(name) for name in ("tokenizer_config.json", _OWN_FILE))
        if (about.get("seqloom") or {}).get("kind") != JOINT:
            return ""
        if (alphabet := made.get("alphabet")) not in TAGS:
            what = (
                "its tokenizer reads texts, too, and nothing says whether its sequences are DNA or proteins"
            )
            hint = f"`alphabet` in {_OWN_FILE}, which `seqloom train` writes: {', '.join(TAGS)}"
            raise DataError(what, where=self.folder, hint=hint)
        return f"<{TAGS[alphabet]}>"

    def _said(self, name: str) -> Mapping[str, Any]:
        """A JSON object of the folder, empty where there is none."""
        file = self.folder / name
        with one_line(self.folder):
            found = read_json(file) if file.is_file() else {}
        return found if isinstance(found, dict) else {}

    def count_unknown(self, contents: Sequence[Sequence[int]]) -> int:
        """Tokens that stand for what the tokenizer does not know."""
        unknown = self.tokenizer.unk_token_id
        return 0 if unknown is None else sum(list(content).count(unknown) for content in contents)

    def warn_unknown(self, contents: Sequence[Sequence[int]]) -> None:
        """Says so where more than 1 % of the tokens of these sequences are unknown."""
        share = self.count_unknown(contents) / max(1, sum(map(len, contents)))
        if share > _UNKNOWN_ALLOWED:
            say(
                f"{self.name}: {share:.1%} of the tokens are unknown to its tokenizer (of "
                f"{len(contents):,} sequences read together); usual causes: "
                "another alphabet than the model's (proteins for DNA), U for T, lower case, or sequences "
                "that must be split into codons first"
            )

    @cached_property
    def parameters(self) -> int | None:
        """Numbers in the weights: as `biotrain.json` says, else counted in the safetensors files, if any."""
        from safetensors import safe_open

        if isinstance(stated := self._said(_OWN_FILE).get("parameters"), int):
            return stated
        total = 0
        with one_line(self.folder):
            for path in sorted(self.folder.glob("*.safetensors")):
                with safe_open(path, "numpy") as tensors:
                    shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
                total += sum(math.prod(shape) for shape in shapes)
        return total or None

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, without a longest length."""
        from transformers import AutoTokenizer

        with quiet(), one_line(self.folder):
            return AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, model_max_length=int(1e30)
            )

    @cached_property
    def config(self) -> Any:
        """The configuration as transformers reads it."""
        from transformers import AutoConfig

        with quiet(), one_line(self.folder):
            return AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=self.own_code
            )

    @property
    def _vocabulary(self) -> int | None:
        """Tokens that the model has embeddings for, where its configuration says so."""
        size = getattr(self.config, "vocab_size", None)
        return size if isinstance(size, int) else None

    @property
    def limit(self) -> int | None:
        """Longest window in tokens, specials included; `None` where the model has none.

        Raises:
            ConfigError: `max_tokens` is more than the model's context.
        """
        named = (getattr(self.config, name, None) for name in _CONTEXT)
        context = next((value for value in named if isinstance(value, int)), None)
        absolute = getattr(self.config, "position_embedding_type", "absolute") == "absolute"
        if context is not None and absolute and self.config.model_type in _OFFSET:
            context -= (self.config.pad_token_id or 0) + 1
        asked = self.settings.max_tokens
        if not asked:
            return context
        if context is not None and asked > context:
            raise ConfigError(f"max_tokens = {asked}, {self.name} has a context of {context}")
        return asked

    @property
    def pad(self) -> int:
        """Id that fills rows up; masked anyway."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else pad

    @cached_property
    def device(self) -> str:
        """Where the model runs."""
        import torch

        if self.settings.device != "auto":
            return self.settings.device
        return "cuda" if torch.cuda.is_available() else "cpu"


def _check_weights(model: Any, missing: Collection[str], auto: str, folder: Path) -> None:
    """Refuses a model of which a part that is read would be drawn at random.

    Raises:
        DataError: naming the first weight that is not in the folder.
    """
    lost = sorted(set(missing) & {name for name, _ in model.named_parameters()})
    hint = "these are weights of an encoder without its output layer"
    if auto == "AutoModel":
        lost = [name for name in lost if not _UNREAD & set(name.split("."))]
        hint = "weights of another architecture than config.json says?"
    if lost:
        raise DataError(f"no weights for {lost[0]} of {auto} ({len(lost)} missing)", where=folder, hint=hint)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the loading reports of transformers: a head that an embedder does not need is no news."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """Turns what transformers raises about a folder into one line.

    Raises:
        DataError: naming the folder.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"transformers cannot load it: {reason}", where=folder) from error
