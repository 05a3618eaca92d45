"""The model of several processes: DistributedDataParallel or fully_shard around it, and its tensors whole.

torch's modules for it are imported where they are used: they take as long to load as the rest of torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from biodata.errors import ConfigError
from biotrain.distributed import Team, at_parting
from biotrain.lanes import Lanes, Losses
from biotrain.models import build_model

if TYPE_CHECKING:
    from biotrain.layers.transformer import Transformer


class _Part(nn.Module):
    """A part of a micro-batch as a module's forward pass, around which DDP prepares its reduction."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, part: Callable[[], Losses]) -> Losses:
        return part()


class Processes(Lanes):
    """Parts of a micro-batch computed side by side, one by each process.

    Args:
        team: of the processes.
        model: `fsdp`: sharded already; `ddp`: the bare model.
    """

    def __init__(self, team: Team, model: nn.Module) -> None:
        super().__init__()
        self.count, self.team, self._weight = team.size, team, 1.0
        self._ddp: Any = None
        self._rehearsed = team.size < 3
        if team.parallel == "ddp":
            from torch.nn.parallel import DistributedDataParallel

            self._ddp = DistributedDataParallel(_Part(model), forward_sync_buffers=False,
                                                gradient_as_bucket_view=True)  # fmt: skip
            at_parting(self._release)

    def _release(self) -> None:
        self._ddp = None

    def backward(self, model: nn.Module, parts: Iterable[Callable[[], Losses]]) -> list[Tensor]:
        """This process's parts of the step; gradients are added up over all in the last backward pass.

        Returns:
            One tensor, the `values` of all parts added up, the same in each process.
        """
        mine, found = list(self.team.dealt(parts)), []
        if mine and self._ddp is not None and not self._rehearsed:
            self._rehearse(mine[0][0], model)
        for number, (part, weight) in enumerate(mine, 1):
            last, self._weight = number == len(mine), weight
            if self._ddp is None:
                cast(Any, model).set_requires_gradient_sync(last)
            with nullcontext() if last or self._ddp is None else self._ddp.no_sync(), _views_allowed():
                losses = part() if self._ddp is None else self._ddp(part)
                (losses.share * (weight * self.count)).backward()  # torch takes the mean over processes
            found.append(losses.values.detach() * weight)
        return [self.team.total(torch.stack(found).sum(0))] if found else []

    def _rehearse(self, part: Callable[[], Losses], model: nn.Module) -> None:
        """A pass for nothing: torch orders gradients anew after its first one, and from three processes on
        the order decides the last bits of sums, so that a resumed run would differ in its first step."""
        gpus = {p.device.index for p in model.parameters() if p.is_cuda}
        with torch.random.fork_rng(devices=gpus):
            self._ddp(part).share.backward()
        model.zero_grad(set_to_none=True)
        self._rehearsed = True

    def meet(self, values: Tensor) -> Tensor:
        """Sum of `values` over the parts that the processes compute just now."""
        return self.team.total(values * self._weight)


@contextmanager
def _views_allowed() -> Iterator[None]:
    """FSDP warns of models that give a view, which must not be changed in place; no objective does that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
        yield


def shard(model: nn.Module, team: Team, *, device: torch.device) -> None:
    """Leaves in each process a part of every tensor; a block's are put together while it computes.

    Args:
        model: whole, the same in each process; what its modules named `blocks` hold is cut block by block.
        team: of the processes.
        device: of this one.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (team.size,))
    for name, blocks in model.named_modules():
        if isinstance(blocks, nn.ModuleList) and name.rpartition(".")[2] == "blocks":
            for block in blocks:
                fully_shard(block, mesh=mesh)
    # by default what is outside of all blocks stays whole until a backward pass, which validation has none of
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def check_sharded(*, ema_on_cpu: bool) -> None:
    """What tensors in parts do not go with.

    Raises:
        ConfigError: such a setting.
    """
    if ema_on_cpu:
        raise ConfigError("ema_on_cpu: parallel 'fsdp' shares the average out among the processes already")


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together in every process, all of which must ask; itself when it is whole."""
    return cast(Any, tensor).full_tensor() if in_parts(tensor) else tensor


def in_parts(tensor: Tensor) -> bool:
    """Whether each process has a part of this tensor only (torch's `DTensor`)."""
    return hasattr(tensor, "full_tensor")


def cut_like(full: Tensor, own: Tensor) -> Tensor:
    """`full` on the device of `own`, and this process's part of it if `own` is in parts."""
    if not in_parts(own) or full.ndim == 0:
        return full.to(own.device)
    from torch.distributed.tensor import distribute_tensor

    parts: Any = own
    full = full.to(parts.to_local().device)
    return distribute_tensor(full, parts.device_mesh, parts.placements, src_data_rank=None)


def everywhere(full: Tensor, own: Tensor) -> Tensor:
    """`full`, the same in every process, so that torch computes it with `own` if that is in parts."""
    if not in_parts(own):
        return full
    from torch.distributed.tensor import DTensor, Replicate

    return DTensor.from_local(full, cast(Any, own).device_mesh, [Replicate()], run_check=False)


def whole_model(model: Transformer, team: Team) -> Transformer:
    """The model itself; of one in parts a whole copy on the CPU in process 0, the others get theirs back."""
    if team.parallel != "fsdp":
        return model
    state = {name: whole(value).cpu() for name, value in model.state_dict().items()}
    if not team.first:
        return model
    copy = build_model(model.config, vocab_size=model.vocab_size)
    copy.load_state_dict(state)
    return copy
