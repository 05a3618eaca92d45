"""Runs `biotrain.loop.train` in a process of its own, for the tests that kill or interrupt it.

python train_process.py CONFIG.yaml
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from biodata.configs import from_dict, read_yaml
from biodata.errors import SeqloomError
from biotrain.config import TrainConfig
from biotrain.loop import train

if __name__ == "__main__":
    try:
        print(json.dumps(train(from_dict(TrainConfig, read_yaml(Path(sys.argv[1]))))))
    except SeqloomError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
