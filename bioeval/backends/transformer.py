"""An embedder around `AutoModel` and `AutoTokenizer`. Nothing is loaded before the first sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from biodata.errors import ConfigError, DataError
from biodata.progress import say
from bioeval.backends.settings import EmbedSettings
from bioeval.backends.windows import Frame, Pool, Window, batches, cut, padded

_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_UNKNOWN_ALLOWED = 0.01


class TransformerEmbedder:
    """Hidden states of a model in the Hugging Face layout, pooled.

    Args:
        name: for people.
        key: content hash, see `bioeval.backends.folder.content_key`.
        folder: with `config.json`, weights and tokenizer.
        settings: layer, pooling, precision, device, batch size.
        seed: `None` takes the trained weights, a number draws new ones.
        own_code: whether the folder's modeling file may run.
    """

    def __init__(
        self, name: str, key: str, *, folder: Path, settings: EmbedSettings, seed: int | None, own_code: bool
    ) -> None:
        self.name, self.key = name, key
        self.folder, self.settings, self.seed, self.own_code = folder, settings, seed, own_code

    def twin(self, *, seed: int) -> TransformerEmbedder:
        """The random-init twin: the same configuration, tokenizer and settings, weights drawn with `seed`."""
        from bioeval.backends.folder import content_key

        return TransformerEmbedder(
            f"random-init:{self.name}", content_key(self.folder, self.settings, seed=seed),
            folder=self.folder, settings=self.settings, seed=seed, own_code=self.own_code,
        )  # fmt: skip

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`.

        Raises:
            DataError: a sequence without a single token.
            ConfigError: a layer that the model does not have.
        """
        import torch

        contents, frame = self._tokens(sequences)
        windows = cut(contents, frame, self._limit)
        self._warn(self._counts(contents, windows))
        pool = Pool(len(sequences), self.settings.pooling)
        for batch in batches(windows, self.settings.batch_size):
            ids, mask = padded(batch, self._pad)
            with torch.inference_mode():
                states = self._states(torch.from_numpy(ids), torch.from_numpy(mask))
            for window, state in zip(batch, states):
                pool.add(window, state)
        return pool.result()

    def counts(self, sequences: Sequence[str]) -> dict[str, int]:
        """Tokens, unknown tokens, windows, and sequences longer than one window. Nothing is embedded."""
        contents, frame = self._tokens(sequences)
        return self._counts(contents, cut(contents, frame, self._limit))

    def _counts(self, contents: Sequence[Sequence[int]], windows: Sequence[Window]) -> dict[str, int]:
        unknown = self._tokenizer.unk_token_id
        return {
            "sequences": len(contents),
            "tokens": sum(map(len, contents)),
            "unknown": sum(list(c).count(unknown) for c in contents) if unknown is not None else 0,
            "windows": len(windows),
            "sequences_in_several_windows": sum(w.order == 1 for w in windows),
        }

    def _states(self, ids: Any, mask: Any) -> np.ndarray:
        device, layer = self._device, self.settings.layer
        out = self._model(
            input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=layer != "last"
        )
        hidden = out.last_hidden_state if layer == "last" else self._layer(out.hidden_states, int(layer))
        return hidden.float().cpu().numpy()

    def _layer(self, states: Sequence[Any], layer: int) -> Any:
        if not -len(states) <= layer < len(states):
            raise ConfigError(f"layer = {layer}, {self.name} has 0 (embeddings) to {len(states) - 1}")
        return states[layer]

    def _tokens(self, sequences: Sequence[str]) -> tuple[list[list[int]], Frame]:
        contents = self._tokenizer(list(sequences), add_special_tokens=False)["input_ids"]
        for sequence, content in zip(sequences, contents):
            if not content:
                hint = f"tokenizer of {self.name}"
                raise DataError("a sequence gives no token", where=repr(sequence[:20]), hint=hint)
        if not contents:
            return [], Frame((), ())
        whole, inner = self._tokenizer(sequences[0])["input_ids"], contents[0]
        starts = range(len(whole) - len(inner) + 1)
        at = next((i for i in starts if whole[i : i + len(inner)] == inner), None)
        if at is None:
            raise DataError(
                "its tokens change when special tokens are added", where=f"tokenizer of {self.name}"
            )
        return contents, Frame(tuple(whole[:at]), tuple(whole[at + len(inner) :]))

    def _warn(self, counts: Mapping[str, int]) -> None:
        unknown = counts["unknown"] / max(1, counts["tokens"])
        if unknown > _UNKNOWN_ALLOWED:
            say(
                f"{self.name}: {unknown:.1%} of the tokens are unknown to its tokenizer; usual causes: "
                "U for T, lower case, or sequences that must be split into codons first"
            )

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with _quiet(), _one_line(self.folder):
            return AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, model_max_length=int(1e30)
            )

    @cached_property
    def _hf_config(self) -> Any:
        from transformers import AutoConfig

        with _quiet(), _one_line(self.folder):
            return AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=self.own_code
            )

    @property
    def _limit(self) -> int | None:
        context = next((v for n in _CONTEXT if isinstance(v := getattr(self._hf_config, n, None), int)), None)
        if not self.settings.max_tokens:
            return context
        if context is not None and self.settings.max_tokens > context:
            raise ConfigError(
                f"max_tokens = {self.settings.max_tokens}, {self.name} has a context of {context}"
            )
        return self.settings.max_tokens

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return 0 if pad is None else pad  # masked anyway

    @cached_property
    def _device(self) -> str:
        import torch

        if self.settings.device != "auto":
            return self.settings.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModel

        dtype = getattr(torch, self.settings.dtype)
        # Weights that a file lacks (a pooler) are drawn too: neither draw may touch the global state.
        with _quiet(), _one_line(self.folder), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed or 0)
            if self.seed is None:
                model = AutoModel.from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=self.own_code, dtype=dtype
                )
            else:
                model = AutoModel.from_config(self._hf_config, trust_remote_code=self.own_code).to(dtype)
        return model.eval().to(self._device)


@contextmanager
def _quiet() -> Iterator[None]:
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
def _one_line(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"transformers cannot load it: {reason}", where=folder) from error
