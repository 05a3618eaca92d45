"""HELM's README commands, shortened, and every option of its `train.py`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from biodata.codon import CODONS
from biodata.errors import ConfigError
from seqloom_cli.helm import REFUSED, from_helm
from seqloom_cli.main import app, prepared

README = (
    "--train_file sequences_codonized.txt --model_name {model} --num_layers {layers} --hidden_size 32 "
    "--batch_size 128 --intermediate_size 64 --epochs 2 --lr 1e-3 --weight-decay 0.1 --min-lr 1e-5 "
    "--data-type codon --mode {mode} --vocab_size 70 --max_seq_len 44 --num_devices 1 --num_workers 1 "
    "--num_samples -1 --amp"
)
"""The commands of "Reproducing Experiments"; layers, widths, length, epochs, workers made small."""

PLACES = " --pos_embedding absolute"

COMMANDS = {
    "gpt2-mlm": README.format(model="gpt2", layers=2, mode="mlm") + " --bidirectional",
    "gpt2-clm": README.format(model="gpt2", layers=2, mode="clm"),
    "mamba-mlm": README.format(model="mamba", layers=2, mode="mlm") + PLACES + " --bidirectional",
    "mamba-clm": README.format(model="mamba", layers=2, mode="clm") + PLACES,
    "hyena-mlm": README.format(model="hyena", layers=2, mode="mlm") + PLACES + " --bidirectional",
    "hyena-clm": README.format(model="hyena", layers=2, mode="clm") + PLACES,
    "gpt2-hxe": README.format(model="gpt2", layers=2, mode="clm") + " --loss HXE --hxe-alpha 0.4",
}  # fmt: skip


@pytest.fixture(scope="session")
def helm_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of CDS, one a line, and a CSV."""
    folder, choose = tmp_path_factory.mktemp("helm"), random.Random(1)
    genes = ["".join(choose.choices(CODONS, k=choose.randint(30, 40))) for _ in range(60)]
    (folder / "sequences_codonized.txt").write_text("\n".join(genes) + "\n")
    (folder / "train.csv").write_text("heavy\n" + "\n".join(genes[:40]).lower() + "\n")
    (folder / "other.csv").write_text("heavy\n" + "\n".join(genes[40:50]) + "\n")
    (folder / "test.csv").write_text("heavy\n" + "\n".join(genes[50:]) + "\n")
    return folder


def seqloom(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, prepared(["train", *words]))
    return result.exit_code, result.stdout, result.stderr


def resolved(*words: str) -> dict[str, Any]:
    code, out, err = seqloom(*words, "--print-config", "--json")
    assert code == 0, err
    return json.loads(out)["config"]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_readme_command(name: str, helm_data: Path, tmp_path: Path) -> None:
    words = ["--data_dir", str(helm_data), *COMMANDS[name].split(), "--output", f"{tmp_path}/run/"]
    code, out, err = seqloom(*words, "--threads", "1", "--json")
    assert code == 0, err
    run = json.loads(out)
    assert run["step"] == 2 and run["val_loss"] > 0
    made = json.loads((tmp_path / "run" / "model" / "biotrain.json").read_text())
    shape = made["model"]
    sizes = {name: shape[name] for name in ("layers", "width", "ffn", "context")}
    assert made["vocab_size"] == 70 and sizes == {"layers": 2, "width": 32, "ffn": 64, "context": 44}
    assert shape["bidirectional"] is ("mlm" in name)


def test_csv_with_files_of_its_own(helm_data: Path, tmp_path: Path) -> None:
    code, _, err = seqloom(
        "--data_dir", str(helm_data), "--train_file", "train.csv", "--val_file", "other.csv", "--test_file",
        "test.csv", "--column_name", "heavy", "--num_samples", "16", "--tokenizer", "6mer", "--num_layers",
        "1", "--hidden_size", "16", "--max_steps", "1", "--output", str(tmp_path / "run"), "--threads", "1",
        "--num_workers", "1", "--json",
    )  # fmt: skip
    assert code == 0, err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["data"]["train"]["sequences"] == 16
    assert summary["data"]["validation"]["sequences"] > 0
    tokenizer = json.loads((tmp_path / "run" / "model" / "tokenizer.json").read_text())
    assert len(tokenizer["model"]["vocab"]) > 4096


ACTING = [
    ("--masking_strategy span --mode mlm --model_name bert", ("objective", "masking_strategy"), "span"),
    ("--masking_ratio 0.3 --mode mlm --model_name bert", ("objective", "mask_rate"), 0.3),
    ("--mode mlm", ("model", "bidirectional"), True),
    ("--mode clm --model_name bert", ("model", "bidirectional"), False),
    ("--mode mlm --model_name mamba", ("model", "name"), "bimamba"),
    ("--tie_embeddings", ("model", "tie_embeddings"), True),
    ("--num_heads 2", ("model", "heads"), 2),
    ("--dropout 0.1", ("model", "dropout"), 0.1),
    ("--attn-dropout 0.2", ("model", "attention_dropout"), 0.2),
    ("--activation relu", ("model", "activation"), "relu"),
    ("--activation gelu_new", ("model", "activation"), "gelu_tanh"),
    ("--pos_embedding absolute", ("model", "position"), "learned"),
    ("--loss XE", ("loss", "name"), "xe"),
    ("--loss soft_labels --soft-labels-beta 5 --hierarchy random", ("loss", "beta"), 5.0),
    ("--opt sgd --momentum 0.8", ("optim", "momentum"), 0.8),
    ("--opt-eps 1e-6", ("optim", "eps"), 1e-6),
    ("--opt-betas 0.8 0.9", ("optim", "betas"), [0.8, 0.9]),
    ("--opt-kwargs eps=1e-7", ("optim", "eps"), 1e-7),
    ("--clip-grad 0.5", ("optim", "clip_norm"), 0.5),
    ("--clip-grad 0.5 --clip-mode agc", ("optim", "clip_mode"), "agc"),
    ("--layer-decay 0.9", ("optim", "layer_decay"), 0.9),
    ("--grad-accum-steps 4", ("accumulate",), 4),
    ("--early-stop", ("early_stop",), 10),
    ("--early-stop --patience-epochs 3", ("early_stop",), 3),
    ("--sched plateau --patience-epochs 4", ("schedule", "patience"), 4),
    ("--sched poly", ("schedule", "name"), "polynomial"),
    ("--lr 0.01", ("optim", "lr"), 0.01),
    ("--lr-noise 0.2 0.8", ("schedule", "noise"), [0.2, 0.8]),
    ("--lr-noise 0.2 --lr-noise-pct 0.5", ("schedule", "noise_limit"), 0.5),
    ("--lr-noise 0.2 --lr-noise-std 0.5", ("schedule", "noise_std"), 0.5),
    ("--lr-cycle-mul 2", ("schedule", "cycle_mul"), 2.0),
    ("--lr-cycle-decay 0.5", ("schedule", "cycle_decay"), 0.5),
    ("--lr-cycle-limit 3", ("schedule", "cycles"), 3),
    ("--lr-k-decay 1.5", ("schedule", "k_decay"), 1.5),
    ("--warmup-lr 1e-8", ("schedule", "warmup_lr"), 1e-8),
    ("--min-lr 1e-5", ("schedule", "min_lr"), 1e-5),
    ("--epochs 3", ("epochs",), 3),
    ("--sched multistep --decay-milestones 90 180", ("schedule", "decay_milestones"), [90, 180]),
    ("--sched step --decay-epochs 7", ("schedule", "decay_epochs"), 7.0),
    ("--sched step --dr 0.3", ("schedule", "decay_rate"), 0.3),
    ("--warmup-epochs 2", ("schedule", "warmup_epochs"), 2.0),
    ("--warmup-prefix", ("schedule", "warmup_prefix"), True),
    ("--cooldown-epochs 1", ("schedule", "cooldown_epochs"), 1.0),
    ("--model-ema", ("ema_decay",), 0.9998),
    ("--model-ema --model-ema-decay 0.9", ("ema_decay",), 0.9),
    ("--model-ema --model-ema-force-cpu", ("ema_on_cpu",), True),
    ("--seed 42", ("seed",), 42),
    ("--resume", ("resume",), True),
    ("--accelerator cpu", ("device",), "cpu"),
    ("--checkpoint-hist 5", ("keep_checkpoints",), 5),
    ("--log-interval 3", ("log_every",), 3),
    ("--amp", ("precision",), "bf16"),
    ("--train_file x --file_extension csv", ("files", "file_extension"), "csv"),
    ("--train_file x --overlap 2", ("files", "overlap"), 2),
]


@pytest.mark.parametrize(("words", "path", "value"), ACTING, ids=[words for words, *_ in ACTING])
def test_option_acts(words: str, path: tuple[str, ...], value: Any) -> None:
    found: Any = resolved(*words.split())
    for part in path:
        found = found[part]
    assert found == value


@pytest.mark.parametrize("name", list(REFUSED))
def test_option_that_does_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is an option of HELM that does nothing here: ") as caught:
        from_helm([name, "1"])
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--patience-epochs 3", "schedule 'cosine' does not use patience, which belongs to: plateau"),
        (
            "--num_devices 4",
            "num_devices 4 x num_nodes 1 = 4 processes, 1 running: start as many by torchrun",
        ),
        ("--num_nodes 2", "num_nodes 2 needs num_devices: how many each machine has"),
        ("--train_file x --val_file y", "val_file and test_file go together"),
        ("--data_dir x", "data_dir is about the sequences of train_file: give that too"),
        ("--train_file none.txt --out run", "none.txt: no such file (data_dir and train_file)"),
        ("--model_name mamba --attn-dropout 0.1", "model 'mamba' has no option attention_dropout"),
        ("--model_name llama --activation relu", "model 'llama' has no option activation (bert, gpt2 have)"),
        ("--activation tanh", "takes one of gelu, gelu_tanh, relu, silu, geglu"),
        ("--resume runs/gpt2", "--resume takes no path, got 'runs/gpt2': it goes on with the run in --out"),
        ("--mode mlm --bidirectional false", "objective 'mlm' needs a model that sees both sides"),
        ("--lr 1e-3 -j 4", "-j is an option of HELM that does nothing here"),
        ("-c none.yaml", "none.yaml"),
        ("--distill-alpha 0.5", "HELM has no code that loads the teacher"),
    ],
)
def test_refusals(words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code, _, err = seqloom(*words.split())
    except ConfigError as error:
        code, err = error.exit_code, str(error)
    assert code == 2 and message in " ".join(err.split()) and "Traceback" not in err


FLAT = """
model_name: bert
num_layers: 3
hidden_size: 64
mode: mlm
loss: HXE
hxe_alpha: 0.4
lr: 1e-3
opt-betas: [0.9, 0.95]
amp: true
model_ema: false
output: null
"""


def test_a_flat_configuration_of_helm_is_its_options(tmp_path: Path) -> None:
    file = tmp_path / "helm.yaml"
    file.write_text(FLAT)
    places = ("--data", "d", "--tokenizer", "t", "--out", "r")
    words = ["--model_name", "bert", "--num_layers", "3", "--hidden_size", "64", "--mode", "mlm", "--loss",
             "HXE", "--hxe_alpha", "0.4", "--lr", "1e-3", "--opt-betas", "0.9", "0.95", "--amp"]  # fmt: skip
    for option in ("-c", "--config"):
        found = resolved(option, str(file), *places)
        assert found == resolved(*words, *places) and found["model"]["bidirectional"]
    assert resolved("--config", str(file), "--layers", "5", "--lr", "0.1", *places) == resolved(
        *words, "--layers", "5", "--lr", "0.1", *places
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("num_layers: 2\nteacher_path: x", ["helm.yaml", "--teacher-path", "no code that loads the teacher"]),
        ("num_layers: {a: 3}", ["helm.yaml", "--num-layers"]),
    ],
)
def test_what_a_flat_configuration_says_wrong_is_one_line(
    line: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "helm.yaml").write_text(line + "\n")
    with pytest.raises(ConfigError) as caught:
        from_helm(["--config", str(tmp_path / "helm.yaml")])
    assert all(word in str(caught.value) for word in words)
