"""Fine-tuning by rewards: draw sequences, judge them, make the better ones of each group likelier.

    [ draw -> reward -> advantages -> updates (biotrain.grpo) -> log -> checkpoint ] ... -> export -> summary

Everything drawn is a function of (seed, step), so that a run killed at any moment and resumed ends with the
same bits. The start model is read again from its folder and never changes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from biodata.errors import ConfigError, DataError, InterruptedRunError
from biodata.files import read_json, sha256_file, write_json
from biodata.progress import say
from biodata.tokenizers import Tokenizer, load_tokenizer
from biotrain import rundir
from biotrain.checkpoint import RunState, Trained, checkpoints, load_checkpoint, save_checkpoint
from biotrain.conditions import condition_of
from biotrain.device import Hardware, choose_hardware, using
from biotrain.export import OWN_FILE, WEIGHTS_FILE, export_model, load_model, model_folder
from biotrain.finetune_config import FinetuneConfig
from biotrain.generate import Sampler, length_limit
from biotrain.generate_config import GenerateConfig
from biotrain.grpo import Rollouts, advantages, log_probabilities, token_losses
from biotrain.interrupt import StopRequest
from biotrain.layers.transformer import Transformer
from biotrain.log import LOG_FILE, NonFiniteError, RunLog, training_bar
from biotrain.optim import build_optimizer
from biotrain.optim.clip import clip_gradient
from biotrain.optim.groups import set_learning_rate

Reward = Callable[[Sequence[str]], Sequence[float] | np.ndarray]
"""Sequences as text to one number each; the higher, the better."""

FIELDS = ("run", "step", "reward_start", "reward", "kl", "sequences", "seconds")


def finetune(config: FinetuneConfig, reward: Reward) -> dict[str, Any]:
    """Fine-tunes a model, or goes on with it (`config.resume`), or finds it done already.

    Writes what `biotrain.loop.train` writes: `config.yaml`, `training_log.jsonl`, `checkpoints/`, `model/`,
    `summary.json`.

    Args:
        config: settings; of the reward only its name.
        reward: what is rewarded.

    Returns:
        `run`, `step`, `reward_start` and `reward` (mean of the first and of the last step's sequences), `kl`
        (estimated divergence from the start model in nats per token, at the last step), `sequences` drawn in
        all, `seconds`.

    Raises:
        ConfigError: a model that does not generate, settings that do not fit, or another run in the folder.
        DataError: an unreadable model, or rewards that are no finite numbers.
        InterruptedRunError: stopped by Ctrl-C or SIGTERM, with a checkpoint.
    """
    folder = model_folder(config.run)
    inputs = {"model": sha256_file(folder / WEIGHTS_FILE)}
    with rundir.locked(config.out):
        if (summary := rundir.finished(config, config.out, fields=FIELDS)) is not None:
            rundir.same_inputs(inputs, summary["inputs"], config.out)
            return {name: summary[name] for name in FIELDS}
        hardware = choose_hardware(device=config.device, precision="fp32", threads=config.threads)
        with using(hardware):
            run = _Finetuning(config, reward, folder, hardware)
            state = run.start(inputs)
            with RunLog(config.out / LOG_FILE, size=state.log_bytes) as log, StopRequest() as stop:
                run.train(state, log, stop)
            summary = run.finish(state)
    return {name: summary[name] for name in FIELDS}


class Judged(NamedTuple):
    """A step's sequences and their rewards [N]."""

    rollouts: Rollouts
    rewards: Tensor


class _Finetuning:
    """The model that learns, the one it started from, and what both need."""

    def __init__(self, config: FinetuneConfig, reward: Reward, folder: Path, hardware: Hardware) -> None:
        self.config, self.reward, self.folder, self.hardware = config, reward, folder, hardware
        self.model = _causal(folder).to(hardware.device)
        self.reference = load_model(folder).to(hardware.device).requires_grad_(False)
        self.tokenizer: Tokenizer = load_tokenizer(folder)
        self.optimizer = build_optimizer(self.model, config.optim)
        self.checkpoints = config.out / rundir.CHECKPOINTS
        drawing = GenerateConfig(run=config.run, out=config.out, num=config.sequences, seed=config.seed,
                                 batch_size=config.batch_size, max_length=config.max_length,
                                 prompt=config.prompt)  # fmt: skip
        condition = condition_of(drawing, self.tokenizer, folder / OWN_FILE)
        self.given = 1 + len(condition.ids)
        limit = length_limit(drawing, self.model, len(condition.ids))
        self.sampler = Sampler(self.model, drawing, condition, limit)

    def start(self, inputs: dict[str, str]) -> RunState:
        """The newest checkpoint's state with its weights loaded, or the beginning."""
        found = checkpoints(self.checkpoints)
        if not found:
            rundir.begin(self.config, self.config.out)
            return RunState(inputs=inputs, hardware=self.hardware.describe())
        state = load_checkpoint(found[-1], Trained(self.model, self.optimizer))
        rundir.same_inputs(inputs, state.inputs, self.config.out)
        say(f"going on after step {state.step:,} of {self.config.max_steps:,} ({found[-1]})")
        return state

    def train(self, state: RunState, log: RunLog, stop: StopRequest) -> None:
        """To the last step."""
        config = self.config
        with training_bar("fine-tuning", total=config.max_steps, done=state.step) as advance:
            while state.step < config.max_steps:
                begin = time.perf_counter()
                line = self.step(state.step + 1)
                state.step += 1
                state.tokens += int(line["tokens"])
                state.train_seconds += time.perf_counter() - begin
                state.sums.setdefault("reward_start", line["reward"])
                state.sums |= {name: line[name] for name in ("reward", "kl")}
                last = state.step == config.max_steps
                if last or state.step % config.log_every == 0:
                    log.write({"step": state.step, **line, "seconds": round(state.train_seconds, 3)})
                due = config.checkpoint_every and state.step % config.checkpoint_every == 0
                if due or last or stop.asked:
                    state.log_bytes = log.sync()
                    trained = Trained(self.model, self.optimizer)
                    save_checkpoint(self.checkpoints, trained, state=state, keep=config.keep_checkpoints)
                if stop.asked and not last:
                    raise InterruptedRunError(
                        f"stopped after step {state.step:,} of {config.max_steps:,}: go on by the same "
                        "command with --resume"
                    )
                advance(state.step, line["loss"], line["tokens"] / (time.perf_counter() - begin))

    def step(self, number: int) -> dict[str, float]:
        """Draws, judges and learns; what is logged of it."""
        config = self.config
        rollouts, rewards = self.draw(number)
        worth = advantages(rewards.view(config.groups, -1)).flatten().float()
        old = [self._log_p(self.model, rollouts.take(part)) for part in self._parts()]
        reference = [self._log_p(self.reference, rollouts.take(part)) for part in self._parts()]
        before = (old, reference)
        told = [self._update(rollouts, worth, before) for _ in range(config.updates)]
        if not all(math.isfinite(value) for value in told[-1].values()):
            raise NonFiniteError(f"loss {told[-1]['loss']:g} at step {number}: try a smaller optim.lr")
        lengths = (rollouts.lengths - rollouts.given).double()
        return {
            "reward": rewards.mean().item(),
            "reward_std": rewards.std(correction=0).item(),
            "reward_best": rewards.max().item(),
            **told[-1],
            "length": lengths.mean().item(),
            "tokens": int(lengths.sum()),
            "lr": config.optim.lr,
        }

    def draw(self, number: int) -> Judged:
        """New sequences for a step, the same for the same number, and their rewards."""
        config = self.config
        first = (number - 1) * config.sequences
        self.model.eval()
        with torch.inference_mode():
            rows = [
                row
                for start in range(first, first + config.sequences, config.batch_size)
                for row in self.sampler.rows(
                    range(start, min(start + config.batch_size, first + config.sequences))
                )
            ]
        rollouts = Rollouts.of(rows, given=self.given, device=self.hardware.device)
        return Judged(rollouts, torch.from_numpy(self._judge(rows)).to(self.hardware.device))

    def _judge(self, rows: list[list[int]]) -> np.ndarray:
        texts = [self.tokenizer.decode(row) for row in rows]
        found = np.asarray(self.reward(texts), dtype=np.float64)
        if found.shape != (len(texts),):
            shape = f"reward gave shape {found.shape} for {len(texts)} sequences"
            raise DataError(f"{shape}: it takes one number for each", where=self.config.reward)
        if not np.isfinite(found).all():
            at = int(np.flatnonzero(~np.isfinite(found))[0])
            raise DataError(f"reward gave {found[at]:g} for {texts[at][:40]!r}", where=self.config.reward)
        return found

    def _update(
        self, rollouts: Rollouts, worth: Tensor, before: tuple[list[Tensor], list[Tensor]]
    ) -> dict[str, float]:
        """One optimizer update on a step's sequences."""
        config, total = self.config, torch.zeros(2, dtype=torch.float64)
        set_learning_rate(self.optimizer, config.optim.lr)
        self.optimizer.zero_grad(set_to_none=True)
        for part, old, reference in zip(self._parts(), *before):
            few = rollouts.take(part)
            owner = few.drawn.nonzero()[:, 0]
            share = 1.0 / ((few.lengths - few.given)[owner] * len(rollouts.ids))
            log_p = log_probabilities(self.model, few)
            found = token_losses(log_p, old, reference, worth[part][owner], clip=config.clip, kl=config.kl)
            loss = (found.loss * share).sum()
            loss.backward()
            total += torch.stack((loss.detach(), (found.kl * share).sum())).double().cpu()
        norm = clip_gradient(self.model, config.optim)
        self.optimizer.step()
        return {"loss": total[0].item(), "kl": total[1].item(), "grad_norm": norm.item()}

    @torch.no_grad()
    def _log_p(self, model: Transformer, rollouts: Rollouts) -> Tensor:
        return log_probabilities(model, rollouts)

    def _parts(self) -> list[slice]:
        size = self.config.batch_size
        return [slice(start, start + size) for start in range(0, self.config.sequences, size)]

    def finish(self, state: RunState) -> dict[str, Any]:
        """Exports the model and writes the summary."""
        config = self.config
        start = read_json(self.folder / OWN_FILE) if (self.folder / OWN_FILE).is_file() else {}
        made = {"step": state.step, "inputs": state.inputs, "reward": config.reward}
        made |= {name: start[name] for name in ("exclusion", "objective") if name in start}
        export_model(self.model, self.folder, config.out / rundir.MODEL, metadata=made)
        summary = {
            "run": str(config.out),
            "step": state.step,
            **{name: state.sums[name] for name in ("reward_start", "reward", "kl")},
            "sequences": state.step * config.sequences,
            "tokens": state.tokens,
            "seconds": round(state.train_seconds, 3),
            "inputs": state.inputs,
            "optim": asdict(config.optim),
            "hardware": state.hardware,
        }
        write_json(config.out / rundir.SUMMARY_FILE, summary)
        return summary


def _causal(folder: Path) -> Transformer:
    model = load_model(folder)
    if not model.causal:
        raise ConfigError(f"{folder} sees both sides; rewards train a causal model (objective 'clm')")
    return model
