"""Freed memory below a block in use goes back to the system."""

import subprocess
import sys

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and glibc's malloc_trim are Linux's")
def test_freed_blocks_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, left = map(int, done.stdout.split())
    assert full - left > 150
