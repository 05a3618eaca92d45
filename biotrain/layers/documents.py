"""Packed rows taken apart, for layers that mix tokens in other ways than attention.

Shapes: B rows, T tokens, C channels, N documents, L tokens of the longest one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from biotrain.layers.positions import places_in_documents


class Documents(NamedTuple):
    """Where the documents of packed rows lie.

    Attributes:
        take: [N L] place of each token of each document in the B T tokens of the rows, 0 where there is none.
        put: [B T] place of each token of the rows in the N L tokens of the documents.
        real: [N, L], True at real tokens.
    """

    take: Tensor
    put: Tensor
    real: Tensor

    @property
    def sizes(self) -> list[int]:
        """Tokens of each document, in reading order; padding behind documents counts as one."""
        return torch.bincount(self.put // self.real.shape[1]).tolist()

    def apart(self, x: Tensor) -> Tensor:
        """[B, T, C] to one document a row, [N, L, C]; what stands behind a document's end has no meaning."""
        return x.flatten(0, 1).index_select(0, self.take).view(*self.real.shape, x.shape[-1])

    def together(self, x: Tensor, rows: int) -> Tensor:
        """[N, L, C] back to B = `rows` rows [B, T, C]."""
        return x.flatten(0, 1).index_select(0, self.put).view(rows, -1, x.shape[-1])


def find_documents(numbers: Tensor, mask: Tensor | None) -> Documents:
    """The documents of a batch.

    Args:
        numbers: [B, T], equal for neighbours of one document.
        mask: [B, T], True at real tokens; `None` = all are.

    >>> find_documents(torch.tensor([[0, 0, 0, 1, 1]]), None).real.tolist()
    [[True, True, True], [True, True, False]]
    """
    places = places_in_documents(numbers).flatten()
    document = (places == 0).cumsum(0) - 1
    longest = int(places.max()) + 1
    put = document * longest + places
    size = (int(document[-1]) + 1) * longest
    index = torch.arange(len(put), device=put.device)
    take = index.new_zeros(size).scatter_(0, put, index)
    known = index == index if mask is None else mask.flatten()
    real = known.new_zeros(size).scatter_(0, put, known)
    return Documents(take, put, real.view(-1, longest))
