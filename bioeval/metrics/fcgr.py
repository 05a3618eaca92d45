"""Distance of two chaos-game images: what the eye compares when it looks at two FCGRs.

Source: Karamichalis et al. 2015 (doi:10.1186/s12859-015-0655-4) compare six distances of FCGR images of
genomes; of these the structural dissimilarity 1 - SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861,
equation 13) and 1 - Pearson's correlation are here. A Euclidean distance would be one of k-mer frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biodata.chaos_game import fcgr
from biodata.errors import ConfigError
from bioeval.metrics.counting import kmer_table
from bioeval.metrics.kmer import subset_totals
from bioeval.metrics.protocol import Measure
from bioeval.metrics.sequence_set import SequenceSet
from bioeval.metrics.setting import Setting

LARGEST_K = 6
_SIGMA, _RADIUS = 1.5, 5
_SMALL = (0.01**2, 0.03**2)


def structural_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM of images, -1 to 1, 1 for equal ones: means over windows of 11 x 11 pixels (Gaussian, 1.5 pixels).

    Args:
        first: images [..., side, side], 0 or more; the larger maximum of a pair is the range of its values.
        second: the same number of images.

    >>> image = np.arange(64.0).reshape(8, 8)
    >>> float(structural_similarity(image, image))
    1.0
    """
    from scipy.ndimage import gaussian_filter

    def blur(image: np.ndarray) -> np.ndarray:
        spread = (0.0,) * (image.ndim - 2) + (_SIGMA, _SIGMA)
        return gaussian_filter(image, spread, radius=(0,) * (image.ndim - 2) + (_RADIUS, _RADIUS))

    top = np.maximum(first.max(axis=(-2, -1), keepdims=True), second.max(axis=(-2, -1), keepdims=True))
    one, two = (small * np.where(top > 0, top, 1) ** 2 for small in _SMALL)
    mean, other = blur(first), blur(second)
    variance, spread = blur(first**2) - mean**2, blur(second**2) - other**2
    covariance = blur(first * second) - mean * other
    likeness = (2 * mean * other + one) * (2 * covariance + two)
    likeness /= (mean**2 + other**2 + one) * (variance + spread + two)
    return likeness.mean(axis=(-2, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class FcgrDistance:
    """1 - SSIM and 1 - Pearson's correlation of the frequency images, 0 for equal ones, at most 2.

    Corners as in Jeffrey 1990 (A bottom left, C top left, G top right, T bottom right); turning both images
    or taking other corners for both changes the correlation not at all and SSIM little.

    Attributes:
        k: letters of a pixel's k-mer, 2 to 6: an image of 2^k x 2^k pixels.
        both_strands: counts each sequence and its reverse complement.
    """

    k: int = 4
    both_strands: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.k <= LARGEST_K:
            raise ConfigError(f"k = {self.k} is out of range, allowed: 2 to {LARGEST_K}")

    @classmethod
    def of_run(cls, setting: Setting) -> list[FcgrDistance]:
        """The largest image that has 4 windows a pixel in either set, 8 x 8 at least."""
        setting.need_nucleotides()
        smaller = min(int(s.lengths.sum()) for s in (setting.generated, setting.reference))
        k = max(3, min(LARGEST_K, int(np.log2(max(smaller / 4, 1)) // 2)))
        return [cls(k=k, both_strands=setting.both_strands)]

    @property
    def measures(self) -> tuple[Measure, ...]:
        side = f"{2**self.k} x {2**self.k}"
        return (
            Measure(name="fcgr_dssim", unit="1 - SSIM", title=f"Chaos-game image of {side}, dissimilarity"),
            Measure(name="fcgr_correlation", unit="1 - r", title=f"Chaos-game image of {side}, correlation"),
        )

    def features(self, sequences: SequenceSet) -> np.ndarray:
        return kmer_table(sequences, self.k, both_strands=self.both_strands)

    def compare(
        self, first: np.ndarray, second: np.ndarray, *, rows: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        images = [_image(first, rows), _image(second, others)]
        dissimilarity = np.maximum(1 - structural_similarity(*images), 0)
        flat = [image.reshape(len(image), -1) for image in images]
        centred = [f - f.mean(axis=1, keepdims=True) for f in flat]
        lengths = [np.sqrt((c**2).sum(axis=1)) for c in centred]
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (centred[0] * centred[1]).sum(axis=1) / (lengths[0] * lengths[1])
        return np.stack([dissimilarity, np.where(1 - r < 1e-12, 0.0, 1 - r)], axis=-1)


def _image(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    counts = subset_totals(table, rows)
    return fcgr(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
