"""The portable form: `tokenizer.json` and `tokenizer_config.json`, which `transformers` loads offline.

Only pieces that old and new versions of `tokenizers` read are used (`Split`, not `FixedLength`), and the
class is named `PreTrainedTokenizerFast`, which transformers 4 and 5 both know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from biodata.errors import DataError
from biodata.files import read_json, write_json, write_text
from biodata.tokenizers.protocol import Encoded, id_type
from biodata.tokenizers.special import BOS, EOS, SPECIAL_TOKENS

UNLIMITED = 10**30
"""`model_max_length` of a tokenizer without a limit, the convention of transformers."""


def portable_table(tokens: tuple[str, ...], *, alphabet: str, width: int) -> Tokenizer:
    """A tokenizer that cuts text every `width` letters and looks the pieces up.

    Args:
        tokens: all tokens by id; those in angle brackets are special.
        alphabet: `dna` or `protein` (see `normalizer`).
        width: letters per piece; what is left at the end is a shorter piece.
    """
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizer(alphabet)
    pattern = Regex(r"[\s\S]" + (f"{{{width}}}" if width > 1 else ""))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    return with_special_tokens(tokenizer, tokens)


def normalizer(alphabet: str) -> normalizers.Normalizer:
    """Upper case; in nucleotides U becomes T.

    >>> normalizer("dna").normalize_str("acguN"), normalizer("protein").normalize_str("mkU")
    ('ACGTN', 'MKU')
    """
    if alphabet == "dna":
        pairs = ["aA", "cC", "gG", "tT", "nN", "uT", "UT"]
    else:
        pairs = [letter + letter.upper() for letter in ascii_lowercase]
    return normalizers.Sequence([normalizers.Replace(old, new) for old, new in pairs])


def with_special_tokens(tokenizer: Tokenizer, tokens: tuple[str, ...]) -> Tokenizer:
    """Declares the bracketed tokens special, puts `<bos>` and `<eos>` around, joins pieces when decoding."""
    special = [AddedToken(t, special=True, normalized=False) for t in tokens if _is_special(t)]
    tokenizer.add_special_tokens(special)
    ends = [(SPECIAL_TOKENS[BOS], BOS), (SPECIAL_TOKENS[EOS], EOS)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> $B:1 <eos>:1", special_tokens=ends
    )
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def encode_portably(tokenizer: Tokenizer, rows: pa.LargeStringArray, *, special: bool) -> Encoded:
    """Encodes by the portable form itself: what it does is what the fast path must equal.

    Args:
        tokenizer: in portable form.
        rows: sequences.
        special: with `<bos>` and `<eos>`.
    """
    encodings = tokenizer.encode_batch_fast(rows.to_pylist(), add_special_tokens=special)
    dtype = id_type(tokenizer.get_vocab_size())
    ids = [np.array(e.ids, dtype) for e in encodings]
    sizes = np.array([0, *(len(i) for i in ids)], np.int64)
    return Encoded(np.concatenate([np.empty(0, dtype), *ids]), np.cumsum(sizes))


def tokens_text(tokens: tuple[str, ...], ids: Iterable[int]) -> str:
    """The tokens of ids joined, special ones left out.

    Raises:
        DataError: an id outside the vocabulary.
    """
    return "".join(t for t in tokens_of(tokens, ids) if not _is_special(t))


def tokens_of(tokens: tuple[str, ...], ids: Iterable[int]) -> list[str]:
    """The tokens of ids.

    Raises:
        DataError: an id outside the vocabulary.
    """
    array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
    wrong = array[(array < 0) | (array >= len(tokens))]
    if len(wrong):
        raise DataError(f"id {wrong[0]} is not in this tokenizer, which has ids 0 to {len(tokens) - 1}")
    return [tokens[i] for i in array.tolist()]


def _is_special(token: str) -> bool:
    return token.startswith("<") and token.endswith(">")


def read_model(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The model of a `tokenizer.json` and its tokens by id.

    Raises:
        DataError: no JSON, no model, or ids that are not 0 to the number of tokens.
    """
    content = read_json_file(file)
    model = content.get("model") if isinstance(content, dict) else None
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):  # of a unigram model: pairs of piece and score
        vocabulary = {str(pair[0]): i for i, pair in enumerate(vocabulary) if isinstance(pair, list) and pair}
    if not isinstance(model, dict) or not isinstance(vocabulary, dict):
        raise DataError("no vocabulary: this is not a tokenizer", where=file)
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise DataError(f"ids are not 0 to {len(vocabulary) - 1}, each once", where=file)
    return model, tokens_by_id(vocabulary)


def merges_of(model: Tokenizer | Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a byte-pair tokenizer, or of the `model` of its `tokenizer.json` (older files join by a
    space).

    Raises:
        DataError: no merges, or one that is no pair.
    """
    content = json.loads(model.to_str())["model"] if isinstance(model, Tokenizer) else model
    found = content.get("merges")
    if not isinstance(found, list):
        raise DataError("no merges: this is not a tokenizer of pairs")
    merges = []
    for merge in found:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"merge {merge!r} is no pair of tokens")
        merges.append((str(pair[0]), str(pair[1])))
    return merges


def tokens_by_id(vocabulary: Mapping[str, int]) -> tuple[str, ...]:
    """The tokens of a vocabulary in the order of their ids."""
    return tuple(sorted(vocabulary, key=vocabulary.__getitem__))


def read_json_file(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is not JSON.
    """
    try:
        return read_json(file)
    except ValueError as error:  # not JSON, or not UTF-8
        raise DataError(f"not JSON: {error}", where=file) from error


def save_folder(
    path: Path, tokenizer: Tokenizer, fields: Mapping[str, Any], *, extra: Mapping[str, Any] | None = None
) -> None:
    """Writes the two files, `tokenizer_config.json` last.

    Args:
        path: the folder; made if missing.
        tokenizer: the portable form.
        fields: what `load_tokenizer` needs, kept under the key `seqloom`.
        extra: more keys for `tokenizer_config.json`.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(tokenizer.to_str()), indent=1, ensure_ascii=False)
    write_text(path / "tokenizer.json", text + "\n")
    write_json(
        path / "tokenizer_config.json", {**_TRANSFORMERS_KEYS, **(extra or {}), "seqloom": dict(fields)}
    )


_TRANSFORMERS_KEYS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": "<pad>",
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "sep_token": "<sep>",
    "cls_token": "<bos>",
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": False,
    "model_input_names": ["input_ids", "attention_mask"],
    "model_max_length": UNLIMITED,
}
