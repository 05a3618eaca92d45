"""Freed memory below a block in use goes back to the system; a chromosome is not copied more than need be."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and glibc's malloc_trim are Linux's")

CODE = """
import numpy as np
from biodata.memory import give_back_memory
from biodata.io.fasta import _keep_freed_blocks

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))

_keep_freed_blocks()
blocks = [np.ones(1 << 18) for _ in range(100)]  # 2 MiB each
last, full = blocks[-1], resident()
del blocks
give_back_memory()
print(full, resident())
"""


def test_freed_blocks_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, left = map(int, done.stdout.split())
    assert full - left > 150


READ = """
for batch in fasta.read_fasta(path):
    del batch
"""
INGEST = """
ingest(ReadConfig(inputs=(path,), alphabet="dna"), Path(path).with_suffix(""))
"""
PEAK = """
import sys
from pathlib import Path
from biodata import staging
from biodata.ingest import ReadConfig, ingest
from biodata.io import fasta, fasta_blocks

fasta.LONG = fasta_blocks.LONG = staging.GROUP_BYTES = 1 << 20  # all of it counts as long
path = sys.argv[1]
{work}
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize(("work", "most"), [(READ, 1.5), (INGEST, 3.1)])
def test_a_long_record_is_copied_no_more_than_need_be(work: str, most: float, tmp_path: Path) -> None:
    """Bytes of memory that every further byte of a record in lower case takes.

    Read: the record. Ingested: the record, the writer's copy, and twice what that is packed to (0.31).
    """
    mb = (10, 40)
    peaks = []
    for size in mb:
        path = tmp_path / f"{size}.fa"
        lines = np.full((size * 12_500, 81), ord("\n"), np.uint8)
        letters = np.random.default_rng(0).integers(0, 4, (len(lines), 80), np.uint8)
        lines[:, :80] = np.frombuffer(b"acgt", np.uint8)[letters]
        path.write_bytes(b">x\n" + lines.tobytes())
        code = [sys.executable, "-c", PEAK.format(work=work), str(path)]
        # else up to 64 MiB of freed blocks stay, whatever the record
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
        done = subprocess.run(code, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout) * 1024 / 1e6)
    assert (peaks[1] - peaks[0]) / (mb[1] - mb[0]) < most
