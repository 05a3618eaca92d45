"""What a new sequence has to fit: its beginning, what stands after a gap, a description.

prompt             <bos> prompt ...
prompt and suffix  <bos> prompt <mask> suffix <sep> ...          models of objective `fim`
text               <bos> <text> text </text> <dna> prompt ...    models of objective `text_to_sequence`
tokenizer `joint`  <bos> <dna> prompt ...                        without a text, models of other objectives
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biodata.errors import ConfigError
from biodata.files import read_json
from biodata.tokenizers import Tokenizer
from biodata.tokenizers.joint import DNA_MARK, PROTEIN_MARK
from biodata.tokenizers.special import EOS, MASK, SEP, SPECIAL_TOKENS
from biotrain.generate_config import GenerateConfig

_SEQUENCE = re.compile(r"<(?:dna|protein)>(.*?)(?:</|$)", re.DOTALL)
_OPENED = {"<dna>": DNA_MARK, "<protein>": PROTEIN_MARK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the model is given.

    Attributes:
        ids: tokens after `<bos>`.
        banned: tokens that may not follow, besides special ones.
        not_first: those that may not follow at once, so that no sequence is empty.
        before: text written before what is drawn.
        after: text written after it.
        inside: whether the sequence stands between tags in what is decoded.
    """

    ids: list[int]
    banned: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    before: str = ""
    after: str = ""
    inside: bool = False

    def written(self, row: Sequence[int], tokenizer: Tokenizer) -> str:
        """The sequence of a row of ids, which begins with `<bos>` and these."""
        if self.inside:
            found = _SEQUENCE.search(tokenizer.decode(row))
            assert found is not None
            return found[1]
        return f"{self.before}{tokenizer.decode(row[1 + len(self.ids) :])}{self.after}"


def condition_of(config: GenerateConfig, tokenizer: Tokenizer, own: Path) -> Condition:
    """The condition that the options state.

    Args:
        config: `prompt`, `suffix` and `text`.
        tokenizer: of the model.
        own: the model's `biotrain.json`, which may say by which objective it learnt.

    Raises:
        ConfigError: options that do not fit one another or the model, none where one is needed, or no whole
            tokens.
    """
    learnt = read_json(own).get("objective") if own.is_file() else None
    for name, objective in (("suffix", "fim"), ("text", "text_to_sequence")):
        if getattr(config, name) and learnt not in (None, objective):
            raise ConfigError(
                f"generate {name} is for models of objective {objective!r}, {config.run} learnt by {learnt!r}"
            )
    if learnt == "text_to_sequence" and not config.text:
        raise ConfigError(f"{config.run} learnt from descriptions: give generate text (--text 'a kinase')")
    if config.text or tokenizer.kind == "joint":
        return _described(config, tokenizer)
    before = _encoded("prompt", config.prompt, tokenizer)
    if not config.suffix:
        return Condition(ids=before, not_first=() if before else (EOS,), before=tokenizer.decode(before))
    after = _encoded("suffix", config.suffix, tokenizer)
    ids = [*before, MASK, *after, SEP]
    return Condition(ids=ids, before=tokenizer.decode(before), after=tokenizer.decode(after))


def _described(config: GenerateConfig, tokenizer: Tokenizer) -> Condition:
    if config.suffix or tokenizer.kind != "joint":
        wrong = "suffix" if config.suffix else f"a tokenizer of kind {tokenizer.kind!r}"
        raise ConfigError(f"generate text does not go with {wrong}")
    text = f"<text>{config.text}</text>" if config.text else ""
    begun = config.prompt if config.prompt.startswith(tuple(_OPENED)) else f"<dna>{config.prompt}"
    ids = _encoded("text" if text else "prompt", f"{text}{begun}", tokenizer)
    opened = next(tag for tag in _OPENED if begun.startswith(tag))
    ends = (EOS, tokenizer.tokens.index(f"</{opened[1:]}"))
    letters = {i for i, token in enumerate(tokenizer.tokens) if token[0] == _OPENED[opened]}
    banned = tuple(i for i in range(tokenizer.vocab_size) if i not in letters and i not in ends)
    return Condition(ids=ids, banned=banned, not_first=ends if begun == opened else (), inside=True)


def _encoded(name: str, text: str, tokenizer: Tokenizer) -> list[int]:
    ids = tokenizer.encode(text, add_special_tokens=False) if text else []
    if any(i < len(SPECIAL_TOKENS) for i in ids):
        kind = tokenizer.kind
        raise ConfigError(f"generate {name} {text!r} is not made of whole tokens of tokenizer {kind!r}")
    return ids
