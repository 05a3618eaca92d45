"""Overlapping k-mers, which `tokenizer.json` cannot express: its pre-tokenizers cut text into disjoint parts.

The saved folder therefore holds a `tokenizer.json` that reads text in which the k-mers are written out with
spaces (as for DNABERT), and one Python file, `tokenization_seqloom.py`, that writes them out:
`AutoTokenizer.from_pretrained(folder, trust_remote_code=True)` reads plain sequences. Without that
file a plain sequence is an error, never a silent `<unk>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from biodata.files import write_text
from biodata.tokenizers.portable import save_folder, tokens_of, with_special_tokens

REMOTE_FILE = "tokenization_seqloom.py"
_REMOTE_CLASS = "tokenization_seqloom.SeqloomOverlapTokenizer"
_NOT_SPACED = "<text without spaces between k-mers: load with trust_remote_code=True>"


def portable_spaced(tokens: tuple[str, ...]) -> Tokenizer:
    """A tokenizer of k-mers separated by spaces; a word that is no token is an error."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_NOT_SPACED))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return with_special_tokens(tokenizer, tokens)


def unspaced(tokens: tuple[str, ...], ids: Iterable[int], *, stride: int) -> str:
    """The sequence of overlapping k-mers.

    Args:
        tokens: the vocabulary, by id.
        ids: token ids of one sequence; special tokens are left out.
        stride: letters by which a k-mer is further than the one before.

    >>> unspaced(("<bos>", "ACG", "CGT", "<unk>"), [0, 1, 2, 3, 2], stride=1)
    'ACGTCGT'
    """
    parts: list[str] = []
    chained = False
    for token in tokens_of(tokens, ids):
        special = token.startswith("<")
        if not special:
            parts.append(token[-stride:] if chained else token)
        chained = not special
    return "".join(parts)


def save_spaced_folder(path: Path, tokenizer: Tokenizer, fields: Mapping[str, Any]) -> None:
    """Writes the folder with its Python file and a README.

    Args:
        path: folder, made if it is not there.
        tokenizer: in portable form.
        fields: what `seqloom.json` of the folder says.
    """
    source = files("biodata.tokenizers").joinpath(f"{REMOTE_FILE}.txt").read_text(encoding="utf-8")
    path = Path(path)
    write_text(path / REMOTE_FILE, source)
    write_text(path / "README.md", _README.format(**fields))
    extra = {"auto_map": {"AutoTokenizer": [None, _REMOTE_CLASS]}, **_shape(fields)}
    save_folder(path, tokenizer, fields, extra=extra)


def _shape(fields: Mapping[str, Any]) -> dict[str, int]:
    return {"kmer": fields["k"], "kmer_overlap": fields["overlap"]}


_README = """# Overlapping k-mer tokenizer (k = {k}, overlap = {overlap})

`tokenizer.json` cannot express overlapping k-mers, so there are two ways to use this folder in transformers:

- plain sequences, transformers 5: `AutoTokenizer.from_pretrained(folder, trust_remote_code=True)` runs
  `tokenization_seqloom.py`, which writes the k-mers out;
- text in which the k-mers are already separated by spaces: `AutoTokenizer.from_pretrained(folder)`. A plain
  sequence is then an error ("Missing [UNK] token"), not a silent `<unk>`. Write `<unk>` for a k-mer that
  holds a letter other than A, C, G, T.

`seqloom tokenizer encode` and `biodata.tokenizers.load_tokenizer(folder)` read plain sequences and give the
same ids.
"""
