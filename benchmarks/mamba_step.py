"""One Mamba-1 layer, forward and backward, against transformers without kernels and two plain scans.

    python benchmarks/mamba_step.py [--rounds 5] [--threads 2] [--clock wall|cpu] [--warm-up 3]
                                    [--no-transformers] [--json F]

Width 256, 512 channels of 16 states, batch 16 x 256 tokens, float32, CPU. `transformers` is `MambaMixer` as
it runs without CUDA kernels (40 s a step: every token's backward pass writes a whole gradient).
`parallel scan` and `unbind loop` are our layer with another scan in its place: Blelloch's up and down sweep
over time with a hand-written backward pass, as mamba.py has it, and the plain loop over `unbind(1)` under
autograd. `mamba2` is one layer of Mamba-2 with as many states, by the chunked form: another model, for
orientation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paired import Step, compare, options, save

BATCH, LENGTH, WIDTH, STATES = 16, 256, 256, 16


def make(name: str) -> Step:
    """A step of a contender."""
    if name == "transformers":
        return layer_step(their_mixer())
    from biotrain.fast_memory import keep_freed_memory

    keep_freed_memory()
    if name in ("parallel scan", "unbind loop"):
        put_scan(parallel_scan() if name == "parallel scan" else unbind_loop)
    return layer_step(our_mixer("mamba2" if name == "mamba2" else "mamba"))


def our_mixer(model: str) -> Callable[[Any], Any]:
    """Our layer, without block and norm."""
    from biotrain.layers.ssm_flow import Flow
    from biotrain.models import ModelConfig, build_model
    from biotrain.models.ssm_config import SsmConfig

    config = ModelConfig(name=model, layers=1, width=WIDTH, ssm=SsmConfig(state_size=STATES))
    mixer = build_model(config, vocab_size=70).blocks[0].mixer
    return lambda x: mixer(x, Flow(None, None, None))


def their_mixer() -> Callable[[Any], Any]:
    """transformers' layer."""
    import transformers
    from transformers.models.mamba.modeling_mamba import MambaMixer

    transformers.logging.set_verbosity_error()
    config = transformers.MambaConfig(hidden_size=WIDTH, state_size=STATES, num_hidden_layers=1)
    return MambaMixer(config, layer_idx=0).train()


def layer_step(mixer: Callable[[Any], Any]) -> Step:
    """Forward and backward."""
    import torch

    noise = torch.Generator().manual_seed(0)
    x, outer = (torch.randn(BATCH, LENGTH, WIDTH, generator=noise) for _ in range(2))
    x.requires_grad_()

    def step() -> float:
        y = mixer(x)
        y.backward(outer)
        x.grad = None
        return y.detach().square().mean().item()

    return step


def put_scan(scan: Callable[..., Any]) -> None:
    """Lets our layer use another scan."""
    from biotrain.layers import ssm

    ssm.selective_scan = lambda drive, starts=None: (scan(*drive), None)


def unbind_loop(u: Any, dt: Any, a: Any, b: Any, c: Any) -> Any:
    """The recurrence token by token, every state kept by autograd."""
    import torch

    factors, inputs = (dt[..., None] * a).exp(), (dt * u)[..., None] * b[:, :, None]
    state, out = torch.zeros_like(inputs[:, 0]), []
    for factor, new, column in zip(factors.unbind(1), inputs.unbind(1), c.unbind(1)):
        state = factor * state + new
        out.append((state @ column[..., None])[..., 0])
    return torch.stack(out, 1)


def parallel_scan() -> Callable[..., Any]:
    """States by a work-efficient parallel scan (Blelloch 1990) over a length that is a power of two."""
    import torch

    class Scan(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, factors: Any, inputs: Any) -> Any:
            a, h = (x.transpose(1, 2).clone() for x in (factors, inputs))  # [B, D, T, N]
            sweep(a, h)
            ctx.save_for_backward(factors, h)
            return h.transpose(1, 2)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            factors, h = ctx.saved_tensors
            g = grads[0].transpose(1, 2).flip(2).clone()
            a = factors.transpose(1, 2).roll(-1, 2).flip(2).clone()
            sweep(a, g)
            g = g.flip(2)
            before = torch.zeros_like(h)
            before[:, :, 1:] = h[:, :, :-1]
            return (before * g).transpose(1, 2), g.transpose(1, 2)

    def run(u: Any, dt: Any, a: Any, b: Any, c: Any) -> Any:
        states = Scan.apply((dt[..., None] * a).exp(), (dt * u)[..., None] * b[:, :, None])
        return (states @ c[..., None])[..., 0]

    return run


def sweep(a: Any, h: Any) -> None:
    """h_t += a_t h_{t-1} for all t of dimension 2, in place: up over pairs, then down over those between."""
    steps = h.shape[2].bit_length() - 1
    for level in range(steps):
        step = 1 << level
        left, right = slice(step - 1, None, 2 * step), slice(2 * step - 1, None, 2 * step)
        h[:, :, right].addcmul_(a[:, :, right], h[:, :, left])
        a[:, :, right].mul_(a[:, :, left])
    for level in reversed(range(steps - 1)):
        step = 1 << level
        left, right = slice(2 * step - 1, -step, 2 * step), slice(3 * step - 1, None, 2 * step)
        h[:, :, right].addcmul_(a[:, :, right], h[:, :, left])
        a[:, :, right].mul_(a[:, :, left])


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--no-transformers", action="store_true", help="leave out what takes minutes")
    arguments = parser.parse_args()
    names = ["seqloom", "parallel scan", "unbind loop", "mamba2"]
    if not arguments.no_transformers:
        names.append("transformers")
    print(f"one layer: {arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock")
    save(compare(make, names, arguments, tokens=BATCH * LENGTH), arguments.json)


if __name__ == "__main__":
    main()
