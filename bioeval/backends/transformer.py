"""An embedder around `AutoModel` and `AutoTokenizer`. Nothing is loaded before the first sequence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from biodata.errors import ConfigError
from bioeval.backends.checkpoint import Checkpoint
from bioeval.backends.settings import EmbedSettings
from bioeval.backends.units import on_units
from bioeval.backends.windows import Frame, Pool, TokenPool, Window, batches, cut, padded


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
        self.checkpoint = Checkpoint(
            name=name, folder=folder, settings=settings, seed=seed, own_code=own_code
        )

    def twin(self, *, seed: int) -> TransformerEmbedder:
        """The random-init twin: the same configuration, tokenizer and settings, weights drawn with `seed`."""
        from bioeval.backends.folder import content_key

        return TransformerEmbedder(
            f"random-init:{self.name}", content_key(self.folder, self.settings, seed=seed),
            folder=self.folder, settings=self.settings, seed=seed, own_code=self.own_code,
        )  # fmt: skip

    def embed(self, sequences: Sequence[str]) -> np.ndarray:
        """float32 `[n, d]`; with layer `all` `[n, layers * d]`, the embeddings first.

        Raises:
            DataError: a sequence without a single token.
            ConfigError: a layer that the model does not have.
        """
        pool = Pool(len(sequences), self.settings.pooling)
        self._run(sequences, pool)
        return pool.result()

    def embed_tokens(self, sequences: Sequence[str], *, width: int = 0) -> list[np.ndarray]:
        """float32 `[t, d]` of each sequence: one row a token, or one for every `width` letters.

        Args:
            sequences: as for `embed`.
            width: letters of a unit; t is then ceil(length / width) and a unit has the mean of the tokens
                that cover it. 0: one row a token, specials left out.

        Raises:
            DataError: a sequence without a single token, or letters that no token covers.
            ConfigError: a layer that the model does not have, or a tokenizer that does not say which letters
                a token covers.
        """
        pool = TokenPool(len(sequences))
        self._run(sequences, pool)
        if not width:
            return pool.result()
        return on_units(pool.result(), self.checkpoint, sequences, width=width)

    def attention(self, sequence: str, *, width: int) -> np.ndarray:
        """float32 `[layers * heads, t, t]`, see `bioeval.backends.attention.attention_of`."""
        from bioeval.backends.attention import attention_of

        return attention_of(self._attending, self.checkpoint, sequence, width=width)

    def windows(self, sequences: Sequence[str]) -> list[Window]:
        """The sequences as the model reads them: tokens with specials, long ones in several windows."""
        contents, frame = self._tokens(sequences)
        return cut(contents, frame, self.checkpoint.limit)

    def fresh_model(self) -> Any:
        """A new `AutoModel` with the weights that `embed` uses, in evaluation mode; the caller's own."""
        return self.checkpoint.load()

    def counts(self, sequences: Sequence[str]) -> dict[str, int]:
        """Tokens, unknown tokens, windows, and sequences longer than one window. Nothing is embedded."""
        contents, frame = self._tokens(sequences)
        windows = cut(contents, frame, self.checkpoint.limit)
        return {
            "sequences": len(contents),
            "tokens": sum(map(len, contents)),
            "unknown": self.checkpoint.count_unknown(contents),
            "windows": len(windows),
            "sequences_in_several_windows": sum(w.order == 1 for w in windows),
        }

    def _run(self, sequences: Sequence[str], pool: Pool | TokenPool) -> None:
        import torch

        contents, frame = self._tokens(sequences)
        self.checkpoint.warn_unknown(contents)
        for batch in batches(cut(contents, frame, self.checkpoint.limit), self.settings.batch_size):
            ids, mask = padded(batch, self.checkpoint.pad)
            with torch.inference_mode():
                states = self._states(torch.from_numpy(ids), torch.from_numpy(mask))
            for window, state in zip(batch, states):
                pool.add(window, state)

    def _states(self, ids: Any, mask: Any) -> np.ndarray:
        device, layer = self.checkpoint.device, self.settings.layer
        out = self._model(
            input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=layer != "last"
        )
        hidden = out.last_hidden_state if layer == "last" else self._layer(out.hidden_states, layer)
        return hidden.float().cpu().numpy()

    def _layer(self, states: Sequence[Any], layer: str) -> Any:
        import torch

        if layer == "all":
            if len(states) != self.layers:
                raise ConfigError(f"layer = all, but {self.name} gives {len(states)} layers of {self.layers}")
            return torch.cat([state.float() for state in states], dim=-1)
        if not -len(states) <= int(layer) < len(states):
            raise ConfigError(f"layer = {layer}, {self.name} has 0 (embeddings) to {len(states) - 1}")
        return states[int(layer)]

    def _tokens(self, sequences: Sequence[str]) -> tuple[list[list[int]], Frame]:
        if not sequences:
            return [], Frame((), ())
        return self.checkpoint.tokens(sequences), self.checkpoint.frame(sequences[0])

    @property
    def parameters(self) -> int | None:
        """Numbers in the model's weights; `None` where its files do not say."""
        return self.checkpoint.parameters

    @property
    def layers(self) -> int:
        """Hidden layers that a vector holds one behind the other: all with layer `all`, else 1."""
        return self.checkpoint.config.num_hidden_layers + 1 if self.settings.layer == "all" else 1

    @cached_property
    def _attending(self) -> Any:
        from bioeval.backends.attention import attending_model

        return attending_model(self.checkpoint)

    @cached_property
    def _model(self) -> Any:
        return self.checkpoint.load()
