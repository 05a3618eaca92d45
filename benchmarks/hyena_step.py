"""A training step of Hyena and of Based against the published plain-PyTorch code.

    python benchmarks/hyena_step.py [--model hyena|based|both] [--layer] [--rounds 7] [--threads 2]
                                    [--clock wall|cpu] [--json F]

Hyena: HyenaDNA's medium shape, 8 layers x 256, 6.55 million parameters at a vocabulary of 16. Based: 10
layers x 256 with 4 heads, Taylor attention at 1 and 6, windows at 2 and 7, gated convolutions elsewhere,
7.7 million. Batch 16 x 256 tokens, float32, CPU. A step is zero_grad, forward, loss, backward, update (fused
AdamW); `--layer` times forward and backward of one mixer (of Based: Taylor attention) instead.

Theirs (`published_hyena.py`, `published_based.py`) is written here from the formulas, with the operations of
the released code; where that needs CUDA kernels (windows) the plain masked attention takes their place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from paired import Step, compare, options, save

BATCH, LENGTH, VOCAB = 16, 256, 16
SHAPES: dict[str, dict[str, Any]] = {
    "hyena": {"layers": 8, "width": 256},
    "based": {"layers": 10, "width": 256, "heads": 4},
}


def make(model: str, layer: bool, name: str) -> Step:
    """The step of a contender; building ours asks the C library to keep freed memory."""
    if name == "published":
        return train_step(published(model)) if not layer else layer_step(published_mixer(model))
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.layers.kernels import plain_kernels

    keep_freed_memory()
    step = layer_step(our_mixer(model)) if layer else our_step(model)

    def run() -> float:
        with plain_kernels() if name.endswith("plain") else nullcontext():
            return step()

    return run


def ours(model: str) -> Any:
    """Our model."""
    from biotrain.models import ModelConfig, build_model

    return build_model(ModelConfig(name=model, context=LENGTH, **SHAPES[model]), vocab_size=VOCAB)


def published(model: str) -> Any:
    """Theirs."""
    if model == "hyena":
        from published_hyena import PublishedHyena

        return PublishedHyena(length=LENGTH, vocab=VOCAB, **SHAPES[model])
    from published_based import PublishedBased

    return PublishedBased(length=LENGTH, vocab=VOCAB, **SHAPES[model])


def our_mixer(model: str) -> Callable[[Any], Any]:
    """Our mixer alone."""
    from biotrain.layers.scene import make_scene

    whole = ours(model)
    scene = make_scene(whole.config, token_ids(), mask=None, documents=None, cache=None, routing=None)
    mixer = whole.blocks[0 if model == "hyena" else 1].mixer
    return lambda x: mixer(x, scene, 0)


def published_mixer(model: str) -> Any:
    """Theirs."""
    return published(model).blocks[0 if model == "hyena" else 1].mixer


def our_step(model: str) -> Step:
    """Our step: lanes and optimizer as the training loop has them."""
    import torch
    from torch.nn import functional as F

    from biotrain.lanes import Losses, lanes_for

    net = ours(model)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    lanes = lanes_for(
        threads=torch.get_num_threads(), rows=BATCH, tokens=LENGTH, width=SHAPES[model]["width"], dropout=0
    )
    ids = token_ids()

    def losses(part: Any) -> Losses:
        logits = net(part)[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()) / lanes.count
        return Losses(loss, loss.detach())

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        shares = lanes.backward(net, [partial(losses, part) for part in ids.chunk(lanes.count)])
        optimizer.step()
        return sum(share.item() for share in shares)

    return step


def train_step(net: Any) -> Step:
    """A plain step."""
    import torch
    from torch.nn import functional as F

    optimizer, ids = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True), token_ids()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def layer_step(mixer: Callable[[Any], Any]) -> Step:
    """Forward and backward of one mixer."""
    import torch

    noise = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, LENGTH, SHAPES["hyena"]["width"], generator=noise).requires_grad_()

    def step() -> float:
        loss = mixer(x).square().mean()
        loss.backward()
        x.grad = None
        return loss.item()

    return step


def token_ids() -> Any:
    """The same random batch for all."""
    import torch

    return torch.randint(6, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", choices=("hyena", "based", "both"), default="both")
    parser.add_argument("--layer", action="store_true", help="one mixer, forward and backward")
    arguments = parser.parse_args()
    models = ("hyena", "based") if arguments.model == "both" else (arguments.model,)
    results = {}
    for model in models:
        what = "one mixer" if arguments.layer else "training step"
        print(f"\n{model}, {what}: {arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock}")
        names = ("seqloom", "seqloom plain", "published")
        step = partial(make, model, arguments.layer)
        results[model] = compare(step, names, arguments, tokens=BATCH * LENGTH)
    save(results, arguments.json)


if __name__ == "__main__":
    main()
