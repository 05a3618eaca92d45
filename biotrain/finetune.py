"""Fine-tuning by rewards: draw sequences, judge them, make the better ones of each group likelier.

    [ draw -> reward -> advantages -> updates (biotrain.reward_step) -> log -> checkpoint ] ... -> export

Everything drawn is a function of (seed, step), so that a run killed at any moment and resumed ends with the
same bits. The start model is read again from its folder and never changes.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from biodata.errors import ConfigError, InterruptedRunError
from biodata.files import read_json, sha256_file, write_json
from biodata.progress import say
from biodata.tokenizers import load_tokenizer
from biotrain import rundir
from biotrain.checkpoint import RunState, Trained, checkpoints, load_checkpoint, save_checkpoint
from biotrain.conditions import condition_of
from biotrain.device import Hardware, choose_hardware, using
from biotrain.distributed import Team, joined
from biotrain.ema import Ema
from biotrain.export import OWN_FILE, WEIGHTS_FILE, export_model, load_model, model_folder
from biotrain.finetune_config import FinetuneConfig
from biotrain.generate import Sampler, length_limit
from biotrain.generate_config import GenerateConfig
from biotrain.interrupt import StopRequest
from biotrain.lanes import Lanes
from biotrain.layers.transformer import Transformer
from biotrain.log import LOG_FILE, Log, NoLog, RunLog, training_bar
from biotrain.optim import build_optimizer
from biotrain.parallel import Processes
from biotrain.reward_step import Learner, Reward, moe_of

__all__ = ["FIELDS", "Reward", "finetune"]

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
    with joined(config.parallel, device=config.device) as team, ExitStack() as held:
        summary = team.from_first(lambda: _finished(config, inputs, held))
        if summary is not None:
            return summary
        hardware = choose_hardware(
            device=team.device(config.device), precision="fp32", threads=team.threads(config.threads)
        )
        with using(hardware):
            run = _Finetuning(config, reward, folder, (hardware, team))
            state = run.start(inputs)
            log: Log = NoLog()
            if team.first:
                log = held.enter_context(RunLog(config.out / LOG_FILE, size=state.log_bytes))
            with StopRequest(alone=team.size == 1) as stop:
                run.train(state, log, stop)
            summary = run.finish(state)
    return {name: summary[name] for name in FIELDS}


def _finished(config: FinetuneConfig, inputs: dict[str, str], held: ExitStack) -> dict[str, Any] | None:
    """Locks the run folder; what a run returned that has ended there."""
    held.enter_context(rundir.locked(config.out))
    summary = rundir.finished(config, config.out, inputs=inputs, fields=FIELDS)
    return None if summary is None else {name: summary[name] for name in FIELDS}


class _Finetuning:
    """A run between its first and last step."""

    def __init__(
        self, config: FinetuneConfig, reward: Reward, folder: Path, place: tuple[Hardware, Team]
    ) -> None:
        self.config, self.reward, self.folder = config, reward, folder
        self.hardware, self.team = place
        self.learner = _learner(config, folder, *place)
        self.checkpoints = config.out / rundir.CHECKPOINTS
        ema = self.learner.ema
        self.trained = Trained(self.learner.model, self.learner.optimizer, ema)

    def start(self, inputs: dict[str, str]) -> RunState:
        """The newest checkpoint's state with its weights loaded, or the beginning."""
        found = checkpoints(self.checkpoints)
        if not found:
            if (self.config.out / rundir.SUMMARY_FILE).exists():
                raise ConfigError(
                    f"{self.config.out} has no checkpoint left to go on from: choose another --out"
                )
            if self.team.first:
                rundir.begin(self.config, self.config.out)
            return RunState(inputs=inputs, hardware=self.hardware.describe())
        state = load_checkpoint(found[-1], self.trained)
        rundir.same_inputs(inputs, state.inputs, self.config.out)
        self._prolong(state)
        say(f"going on after step {state.step:,} of {self.config.max_steps:,} ({found[-1]})")
        return state

    def _prolong(self, state: RunState) -> None:
        """Takes another number of steps, on which no step depends."""
        wanted, out = self.config.max_steps, self.config.out
        rundir.check_room(out, done=state.step, wanted=wanted)
        if wanted != rundir.begun_with(self.config, out).max_steps and self.team.first:
            rundir.begin_again(self.config, out)

    def train(self, state: RunState, log: Log, stop: StopRequest) -> None:
        """To the last step."""
        config = self.config
        with training_bar("fine-tuning", total=config.max_steps, done=state.step) as advance:
            while state.step < config.max_steps:
                begin = time.perf_counter()
                line = self.learner.step(state.step + 1, self.reward)
                state.step += 1
                state.tokens += int(line["tokens"])
                state.train_seconds += time.perf_counter() - begin
                state.sums.setdefault("reward_start", line["reward"])
                state.sums |= {name: line[name] for name in ("reward", "kl")}
                last = state.step == config.max_steps
                if last or state.step % config.log_every == 0:
                    log.write({"step": state.step, **line, "seconds": round(state.train_seconds, 3)})
                due = config.checkpoint_every and state.step % config.checkpoint_every == 0
                asked = self.team.any(stop.asked)
                if due or last or asked:
                    state.log_bytes = log.sync()
                    save_checkpoint(
                        self.checkpoints,
                        self.trained,
                        state=state,
                        keep=config.keep_checkpoints,
                        team=self.team,
                    )
                if asked and not last:
                    raise InterruptedRunError(
                        f"stopped after step {state.step:,} of {config.max_steps:,}: go on by the same "
                        "command with --resume"
                    )
                advance(state.step, line["loss"], line["tokens"] / (time.perf_counter() - begin))

    def finish(self, state: RunState) -> dict[str, Any]:
        """Exports the model, or its average, and writes the summary."""
        ema = self.learner.ema
        with nullcontext() if ema is None else ema.applied():
            return self.team.from_first(lambda: self._write(state))

    def _write(self, state: RunState) -> dict[str, Any]:
        config = self.config
        start = read_json(self.folder / OWN_FILE) if (self.folder / OWN_FILE).is_file() else {}
        made = {"step": state.step, "inputs": state.inputs, "reward": config.reward}
        made |= {name: start[name] for name in ("exclusion", "objective") if name in start}
        export_model(self.learner.model, self.folder, config.out / rundir.MODEL, metadata=made)
        summary = {
            "run": str(config.out),
            "step": state.step,
            **{name: state.sums[name] for name in ("reward_start", "reward", "kl")},
            "sequences": state.step * config.sequences,
            "tokens": state.tokens,
            "seconds": round(state.train_seconds, 3),
            "inputs": state.inputs,
            "weights": f"average (ema_decay {config.ema_decay:g})" if config.ema_decay else "last",
            "optim": asdict(config.optim),
            "hardware": state.hardware,
        }
        write_json(config.out / rundir.SUMMARY_FILE, summary)
        return summary


def _learner(config: FinetuneConfig, folder: Path, hardware: Hardware, team: Team) -> Learner:
    model = _causal(folder).to(hardware.device)
    if model.config.moe or (config.balance_loss, config.z_loss) != (None, None):
        moe_of(model, config)
    tokenizer = load_tokenizer(folder)
    drawing = GenerateConfig(run=config.run, out=config.out, num=config.sequences, seed=config.seed,
                             batch_size=config.batch_size, max_length=config.max_length,
                             prompt=config.prompt)  # fmt: skip
    condition = condition_of(drawing, tokenizer, folder / OWN_FILE)
    limit = length_limit(drawing, model, len(condition.ids))
    return Learner(
        config=config,
        model=model,
        reference=load_model(folder).to(hardware.device).requires_grad_(False),
        tokenizer=tokenizer,
        sampler=Sampler(model, drawing, condition, limit),
        optimizer=build_optimizer(model, config.optim),
        ema=Ema(model, decay=config.ema_decay, on_cpu=config.ema_on_cpu) if config.ema_decay else None,
        lanes=Lanes() if team.parallel == "none" else Processes(team, model),
        team=team,
        given=1 + len(condition.ids),
    )


def _causal(folder: Path) -> Transformer:
    model = load_model(folder)
    if not model.causal:
        raise ConfigError(f"{folder} sees both sides; rewards train a causal model (objective 'clm')")
    return model
