"""Writes a trained model as the folder that `AutoModel...from_pretrained` reads, and reads it back.

Nothing here imports transformers, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import biodata
from biodata.configs import from_dict
from biodata.errors import ConfigError, DataError
from biodata.files import atomic_path, read_json, write_json, write_text
from biodata.tokenizers import load_tokenizer
from biodata.tokenizers.special import BOS, EOS, PAD
from biotrain.export_config import ModelExportConfig
from biotrain.layers.pair import Pair
from biotrain.layers.transformer import Transformer
from biotrain.layout import from_hf, from_hf_config, native, to_hf, to_hf_config
from biotrain.models import ModelConfig, build_model
from biotrain.models.electra import pair_layouts
from biotrain.mup import as_usual
from biotrain.pair_layout import GENERATOR, generator_values, pair_files, pair_names, read_pair
from biotrain.stored import save_tensors

CONFIG_FILE, WEIGHTS_FILE, OWN_FILE = "config.json", "model.safetensors", "biotrain.json"
_MODELING = Path(__file__).parent / "modeling"
_COMPUTED = ("seqloom", "model", "vocab_size", "parameters")
"""Keys of `biotrain.json` that follow from the model."""
_OURS = {CONFIG_FILE, WEIGHTS_FILE, OWN_FILE, "generation_config.json", "README.md"}


def export_model(
    model: Transformer, tokenizer_dir: Path, out: Path, *, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Writes `config.json`, `model.safetensors`, the tokenizer, a model card and `biotrain.json`.

    Each file is written atomically and `config.json` last, so a folder that has it is complete.

    Args:
        model: the bare module (not wrapped for parallel training).
        tokenizer_dir: folder of the tokenizer; its files are copied.
        out: folder to write, `RUN/model` for a run.
        metadata: provenance that JSON can hold; goes to `biotrain.json` and the card.

    Returns:
        `out`.

    Raises:
        ConfigError: `tokenizer_dir` holds no `tokenizer.json`.
    """
    out, metadata = Path(out), dict(metadata or {})
    (out / CONFIG_FILE).unlink(missing_ok=True)
    if isinstance(model, Pair):
        config, layout = model.config, pair_layouts(model.config)[0]
        _write_folder(out, config, tokenizer_dir, files=pair_files(model))
        write_json(out / GENERATOR / CONFIG_FILE, generator_values(model))
    else:
        weights, config = as_usual(model.state_dict(), model.config)
        layout = None
        _write_folder(out, config, tokenizer_dir, files={Path(WEIGHTS_FILE): to_hf(weights, config)})
    if not config.bidirectional:
        ids = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
        write_json(out / "generation_config.json", ids)
    own = {
        "seqloom": biodata.__version__,
        "model": asdict(config),
        "vocab_size": model.vocab_size,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    write_json(out / OWN_FILE, {**own, **metadata})
    write_text(out / "README.md", _card(config, own, metadata))
    write_json(out / CONFIG_FILE, to_hf_config(config, model.vocab_size, layout=layout))
    return out


def export_hf(config: ModelExportConfig) -> dict[str, Any]:
    """Writes the model of a run, or a folder of transformers that we read, as `export_model` does.

    Args:
        config: what and where.

    Returns:
        `model` and `parameters`.

    Raises:
        DataError: no model there, or a damaged one, or a tokenizer that is damaged or of another size.
        ConfigError: no tokenizer beside it.
    """
    folder, model = model_folder(config.run), load_model(config.run)
    _check_tokenizer(folder, model.vocab_size)
    known = _read_config(folder / OWN_FILE) if (folder / OWN_FILE).is_file() else {}
    made = {key: value for key, value in known.items() if key not in _COMPUTED}
    export_model(model, folder, config.out, metadata=made)
    return {"model": model.config.name, "parameters": sum(p.numel() for p in model.parameters())}


def _write_folder(
    out: Path, config: ModelConfig, tokenizer_dir: Path, *, files: Mapping[Path, Mapping[str, Tensor]]
) -> None:
    """Weight files by their place in `out`, beside each the tokenizer and the code where it is needed."""
    for folder in {out / name.parent for name in files}:
        _copy_tokenizer(Path(tokenizer_dir), folder)
        if native(config) is None:
            source = _MODELING / f"{config.architecture.modeling.module}.py"
            write_text(folder / source.name, source.read_text(encoding="utf-8"))
    for name, tensors in files.items():
        with atomic_path(out / name) as part:
            save_tensors(tensors, part)


def load_model(path: Path) -> Transformer:
    """The model of a run folder or an exported folder, on the CPU, in float32 and evaluation mode.

    Args:
        path: `RUN`, `RUN/model`, or a folder of weights in safetensors of GPT-2, BERT, Llama or
            Mixtral as transformers writes them.

    Raises:
        DataError: no model there, a damaged or foreign file; pickled weights are never read.
    """
    folder = model_folder(path)
    config, vocab_size = model_config(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise DataError("no model.safetensors there", where=folder, hint="pickled weights are never read")
    model = build_model(config, vocab_size=vocab_size)
    names = pair_names(model) if isinstance(model, Pair) else (WEIGHTS_FILE,)
    found = {name: _read_tensors(folder / name) for name in names}
    try:
        if isinstance(model, Pair):
            state = read_pair(model, found)
        else:
            state = from_hf(found[WEIGHTS_FILE], model.state_dict(), config)
        model.load_state_dict(state)
    except DataError as error:
        raise DataError(str(error), where=weights) from None
    return model.eval()


def model_config(folder: Path) -> tuple[ModelConfig, int]:
    """The configuration of a model's folder and the size of its vocabulary.

    Raises:
        DataError: another kind of model, or no `config.json` of one.
    """
    values = _read_config(folder / CONFIG_FILE)
    config, vocab_size = from_hf_config(values, folder / CONFIG_FILE)
    return _whole_config(config, values, folder / OWN_FILE), vocab_size


def model_folder(path: Path) -> Path:
    """The folder with the model's `config.json`: the path itself or its `model`.

    Raises:
        DataError: neither has one.
    """
    for folder in (Path(path) / "model", Path(path)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    hint = "give a run folder of `seqloom train` whose training has ended, or an exported model"
    raise DataError("no exported model there", where=path, hint=hint)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not JSON: {error}", where=path) from None
    if not isinstance(values, dict):
        raise DataError("not a JSON object", where=path)
    return values


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError("no such file", where=path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        hint = "the file is damaged or no safetensors file; export the model again"
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=path, hint=hint) from None


def _check_tokenizer(folder: Path, vocab_size: int) -> None:
    """Reads what is to be copied; all of it where it is ours."""
    files = [
        file for name in ("tokenizer.json", "tokenizer_config.json") if (file := folder / name).is_file()
    ]
    if not any("seqloom" in _read_config(file) for file in files):
        return
    if (size := load_tokenizer(folder).vocab_size) != vocab_size:
        hint = "put the tokenizer there that it was trained with"
        raise DataError(f"the tokenizer has {size} tokens, the model {vocab_size}", where=folder, hint=hint)


def _copy_tokenizer(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not (source / "tokenizer.json").is_file():
        raise ConfigError(f"no tokenizer.json in {source} (make one with `seqloom tokenizer train`)")
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in _OURS and not file.name.startswith((".", "modeling_")):
            with atomic_path(out / file.name) as part:
                shutil.copyfile(file, part)


def _whole_config(config: ModelConfig, values: Mapping[str, Any], own: Path) -> ModelConfig:
    """With what `config.json` has no word for (the z loss), where our own file beside it fits to it."""
    if not own.is_file() or "model" not in (said := _read_config(own)):
        return config
    whole = from_dict(ModelConfig, said["model"], where=str(own))
    expected = to_hf_config(whole, int(values["vocab_size"]))
    return whole if all(values.get(key) == value for key, value in expected.items()) else config


_KINDS = {
    "causal": ("Causal language model", "pipeline_tag: text-generation", "AutoModelForCausalLM"),
    "masked": ("Masked language model", "pipeline_tag: fill-mask", "AutoModelForMaskedLM"),
    "pictures": ("Diffusion model of pictures", "pipeline_tag: unconditional-image-generation", "AutoModel"),
    "pair": ("Discriminator (its generator is in `generator/`)", "pipeline_tag: feature-extraction",
             "AutoModelForPreTraining"),
}  # fmt: skip
"""Title, line of the card's header and Auto class."""


def _card(config: ModelConfig, own: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    group = "pair" if config.pair else "pictures" if config.image else None
    kind, task, auto = _KINDS[group or ("masked" if config.bidirectional else "causal")]
    trust = "" if native(config) else ", trust_remote_code=True"
    shape = "\n".join(f"| {key} | {value} |" for key, value in own["model"].items())
    made = json.dumps(dict(metadata), indent=2, ensure_ascii=False, default=str)
    return f"""---
library_name: transformers
{task}
tags: [biology, seqloom]
---

# {kind} of biological sequences

Trained with seqloom {own["seqloom"]}; {own["parameters"]:,} parameters, {own["vocab_size"]} tokens.

```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("."{trust})
tokenizer = AutoTokenizer.from_pretrained("."{trust})
```

## Shape

| | |
|---|---|
{shape}

## Where it comes from

```json
{made}
```
"""
