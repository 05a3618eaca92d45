"""The real `megatron-core` builds what is written and gives our logits, by the lines of the README beside it.

It runs on a CPU but for three places of 0.16.1 that the program below answers: `torch.cuda.current_device()`
where a device is meant, the random numbers of dropout, which are CUDA's, and a name of TransformerEngine that
its router reads without asking whether it is there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from biodata.errors import ConfigError, DataError
from biotrain.export import export_model
from biotrain.export_config import EXPORTS, ModelExportConfig, run_export
from biotrain.layers.transformer import Transformer
from biotrain.megatron_settings import megatron_arguments
from biotrain.models import MODELS, ModelConfig, MoEConfig, build_model
from seqloom_cli.main import app

VOCAB = 70
needs_megatron = pytest.mark.skipif(
    sys.version_info >= (3, 14) or sys.platform != "linux",
    reason="PyPI has wheels of megatron-core 0.16 for Linux and Python up to 3.13 only",
)

CASES: dict[str, dict[str, Any]] = {
    "gpt2": {"name": "gpt2"},
    "gpt2-rope-untied": {"name": "gpt2", "position": "rope", "tie_embeddings": False},
    "gpt2-gelu": {"name": "gpt2", "activation": "gelu"},
    "gpt2-relu": {"name": "gpt2", "activation": "relu", "attention_dropout": 0.1},
    "gpt2-mup": {"name": "gpt2", "mup_base_width": 16, "position": "none"},
    "llama": {"name": "llama", "kv_heads": 2, "rope_base": 500_000.0, "tie_embeddings": False},
    "llama-learned": {"name": "llama", "position": "learned", "norm_eps": 1e-3},
    "moe": {"name": "moe", "kv_heads": 1, "moe": MoEConfig(experts=4, top_k=2)},
    "moe-untied": {"name": "moe", "tie_embeddings": False, "moe": MoEConfig(experts=3, top_k=3)},
}

PROGRAM = """
import json, os, re, sys
import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel.random import initialize_rng_tracker
from megatron.core.transformer.moe import moe_utils
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
torch.cuda.current_device = lambda: "cpu"
initialize_rng_tracker(inference_rng_tracker=True)
moe_utils.te_general_gemm = None
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
parallel_state.initialize_model_parallel()
root, logits, keys = sys.argv[1], {}, {}
ids = load_file(f"{root}/ids.safetensors")["ids"]
places = torch.arange(ids.shape[1]).expand_as(ids)
hidden = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()[None, None]
for name in sys.argv[2:]:
    os.chdir(f"{root}/{name}")
    scope = {}
    exec(re.search("```python\\n(.*?)```", open("README.md").read(), re.S)[1], scope)
    model = scope["model"].eval()
    with torch.no_grad():
        logits[name] = model(ids, places, hidden).contiguous()
    keys[name] = [item.key for item in model.sharded_state_dict().values()]
save_file(logits, f"{root}/logits.safetensors")
print(json.dumps(keys))
"""


def trained(**settings: Any) -> Transformer:
    """A model whose every parameter, biases and norms too, has an unlikely value."""
    shape = {"layers": 2, "width": 32, "ffn": 48, "context": 24, "heads": 4, **settings}
    model = build_model(ModelConfig(**shape), vocab_size=VOCAB)
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of each case."""
    root = tmp_path_factory.mktemp("runs")
    (root / "tokenizer").mkdir()
    (root / "tokenizer" / "tokenizer.json").write_text('{"version": "1.0"}')
    for name, settings in CASES.items():
        export_model(trained(**settings), root / "tokenizer", root / name / "model", metadata={"step": 3})
    return root


@pytest.fixture(scope="module")
def read_by_megatron(
    runs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor], dict[str, list[str]]]:
    """The folder of the exports, Megatron's logits and its names in a sharded checkpoint, by case."""
    root = tmp_path_factory.mktemp("megatron")
    for name in CASES:
        said = run_export(ModelExportConfig(run=runs / name, to="megatron", out=root / name))
        assert said["files"] == ["README.md", "megatron_config.json", "model.safetensors", "tokenizer.json"]
    save_file({"ids": batch()}, root / "ids.safetensors")
    command = [sys.executable, "-c", PROGRAM, str(root), *CASES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return root, load_file(root / "logits.safetensors"), json.loads(done.stdout.splitlines()[-1])


def batch() -> torch.Tensor:
    return torch.randint(6, VOCAB, (3, 20), generator=torch.Generator().manual_seed(1))


@needs_megatron
@pytest.mark.parametrize("name", CASES)
def test_megatron_has_our_logits(read_by_megatron: Any, name: str) -> None:
    with torch.no_grad():
        ours = trained(**CASES[name])(batch())
    torch.testing.assert_close(read_by_megatron[1][name], ours, atol=1e-5, rtol=1e-5)
    assert ours.abs().max() > 1


@needs_megatron
@pytest.mark.parametrize("name", ["gpt2", "llama", "moe"])
def test_names_of_transformer_engine_are_those_of_a_sharded_checkpoint(
    runs: Path, read_by_megatron: Any, tmp_path: Path, name: str
) -> None:
    """Megatron keeps local layers under TransformerEngine's names, all layers and experts in one tensor."""
    config = ModelExportConfig(run=runs / name, to="megatron", out=tmp_path, layers="transformer_engine")
    run_export(config)
    local = load_file(read_by_megatron[0] / name / "model.safetensors")
    fused = load_file(tmp_path / "model.safetensors")
    stacked = {re.sub(r"layers\.\d\.", "layers.", key) for key in fused}
    stacked = {re.sub(r"local_experts\.\d\.", "experts.", key) for key in stacked}
    known = {key for key in read_by_megatron[2][name] if "_extra_state" not in key}
    if (
        name == "moe"
    ):  # its spec of local layers renames as if dense; that of TransformerEngine has the norm apart
        known.add("decoder.layers.pre_mlp_layernorm.weight")
    assert stacked <= known and len(local) == len(fused)
    assert "get_gpt_layer_with_transformer_engine_spec" in (tmp_path / "README.md").read_text()
    assert sorted(t.sum().item() for t in local.values()) == sorted(t.sum().item() for t in fused.values())


def test_queries_keys_and_values_lie_by_group(runs: Path, tmp_path: Path) -> None:
    run_export(ModelExportConfig(run=runs / "llama", to="megatron", out=tmp_path / "x"))
    ours = trained(**CASES["llama"]).state_dict()["blocks.1.attention.qkv.weight"]
    q, k, v = ours.split((32, 16, 16))
    expected = [q[:16], k[:8], v[:8], q[16:], k[8:], v[8:]]  # heads of 8, two for each of two groups
    tensors = load_file(tmp_path / "x" / "model.safetensors")
    assert torch.equal(tensors["decoder.layers.1.self_attention.linear_qkv.weight"], torch.cat(expected))


def test_arguments_say_the_same() -> None:
    model = trained(**CASES["moe"])
    words = megatron_arguments(model.config, layers="local") or []
    said = dict(zip(words, [*words[1:], ""]))
    expected = {"--num-experts": 4, "--moe-router-topk": 2, "--num-query-groups": 1, "--rotary-base": 10_000}
    assert {name: said[name] for name in expected} == expected
    assert "--swiglu" in words and "--untie-embeddings-and-output-weights" not in words
    assert json.loads(json.dumps(words)) == words
    assert megatron_arguments(trained(**CASES["gpt2-relu"]).config, layers="local") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "bert"}, "model 'bert' has no form in Megatron's GPTModel"),
        ({"name": "gpt2", "bidirectional": True}, "GPTModel is causal, but this gpt2 sees both sides"),
        ({"name": "llama", "position": "alibi"}, "GPTModel has no position 'alibi'"),
        ({"name": "gpt2", "activation": "geglu"}, "Megatron's GPTModel has biases before every gate"),
        ({"name": "moe", "moe": MoEConfig(experts=2, top_k=1)}, "Megatron's router with top_k 1"),
    ],
)
def test_what_megatron_has_no_form_of_is_refused(
    runs: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    export_model(trained(**settings), runs / "tokenizer", tmp_path / "model")
    words = ["export", str(tmp_path), "--to", "megatron", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"gpt2", "llama", "moe", "dit_image", "caduceus"}))
def test_every_other_architecture_is_refused(runs: Path, tmp_path: Path, name: str) -> None:
    heads = {"heads": 4} if "heads" in MODELS.load(name).takes else {}
    config = ModelConfig(name=name, layers=2, width=32, context=24, **heads)
    export_model(build_model(config, vocab_size=VOCAB), runs / "tokenizer", tmp_path / "model")
    with pytest.raises(ConfigError, match=f"model '{name}' has no form in Megatron"):
        run_export(ModelExportConfig(run=tmp_path, to="megatron", out=tmp_path / "out"))


@pytest.mark.parametrize("name", ["gpt2", "moe"])
def test_to_hf_writes_the_folder_of_the_run_again(runs: Path, tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(
        app, ["export", str(runs / name), "--to", "hf", "--out", str(tmp_path / "hf"), "--json"]
    )
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    first = {path.name: path.read_bytes() for path in (runs / name / "model").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()} == first
    assert said["files"] == sorted(first) and said["model"] == name and said["parameters"] > 0


def test_refusals(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the folder that is read"):
        run_export(ModelExportConfig(run=runs / "gpt2", to="hf", out=runs / "gpt2" / "model"))
    with pytest.raises(ConfigError, match="layers = 'local' needs --to megatron"):
        ModelExportConfig(run=runs / "gpt2", to="hf", out=tmp_path, layers="local")
    with pytest.raises(DataError, match="no exported model there"):
        run_export(ModelExportConfig(run=tmp_path, to="megatron", out=tmp_path / "out"))
    assert list(EXPORTS) == ["hf", "megatron"]


@pytest.mark.parametrize("form", list(EXPORTS))
def test_a_folder_of_something_else_is_not_written_into(runs: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "data").mkdir()
    card = tmp_path / "data" / "README.md"
    card.write_text("the card of a dataset")
    with pytest.raises(ConfigError, match=r"is not empty \('README.md' is there\) and no earlier export"):
        run_export(ModelExportConfig(run=runs / "gpt2", to=form, out=card.parent))
    assert card.read_text() == "the card of a dataset"
    with pytest.raises(ConfigError, match="is a file"):
        run_export(ModelExportConfig(run=runs / "gpt2", to=form, out=card))
    for name in ("config.yaml", "training_log.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match="lies in the run folder"):
        run_export(ModelExportConfig(run=runs / "gpt2", to=form, out=tmp_path / "model"))
    (tmp_path / "config.yaml").unlink()
    for _ in range(2):  # over an earlier export
        run_export(ModelExportConfig(run=runs / "gpt2", to=form, out=tmp_path / "out"))
