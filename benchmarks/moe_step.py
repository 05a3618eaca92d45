"""A training step of the small mixture of experts against transformers' MixtralForCausalLM.

    python benchmarks/moe_step.py [--rounds 7] [--threads 2] [--clock wall|cpu] [--compile] [--json F]

Recipe moe-small-8m: 4 layers x 256, 4 heads on 2 of keys, 4 experts of width 512, 2 a token; vocabulary 128,
7.1 million parameters, 4.0 million active; batch 16 x 256 tokens, float32, CPU. A step is zero_grad, forward,
loss, backward, update; load-balance loss on in all, ours with the z loss besides.

Theirs is Mixtral with SDPA attention, `labels=`, `output_router_logits=True`, the fused AdamW, and each way
of computing experts that runs here: `grouped_mm` and the loop; `--compile` adds the former compiled. Each
contender lives in a process of its own and they take turns, one step each a round, after warm-up.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from paired import Step, compare, options, save

BATCH, LENGTH, VOCAB = 16, 256, 128
SHAPE: dict[str, Any] = {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "ffn": 512}
EXPERTS, TOP_K = 4, 2
CONTENDERS = ("seqloom", "seqloom plain", "mixtral grouped_mm", "mixtral loop")


def make_ours() -> Step:
    """Our step: lanes, losses and optimizer as the training loop has them."""
    import torch
    from torch.nn import functional as F

    from biotrain.lanes import Losses, lanes_for
    from biotrain.layers.routing import router_losses
    from biotrain.models import ModelConfig, MoEConfig, build_model

    moe = MoEConfig(experts=EXPERTS, top_k=TOP_K)
    model = build_model(ModelConfig(name="moe", context=LENGTH, moe=moe, **SHAPE), vocab_size=VOCAB)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    lanes = lanes_for(
        threads=torch.get_num_threads(), rows=BATCH, tokens=LENGTH, width=SHAPE["width"], dropout=0
    )
    ids = token_ids()

    def losses(part: Any) -> Losses:
        routing = model.new_routing()
        assert routing is not None
        logits = model(part[:, :-1], routing=routing)
        counts = torch.stack(routing.counts)
        whole = lanes.meet(torch.cat((counts.flatten(), routing.tokens[None])))
        counts = whole[:-1].view_as(counts)
        balance, z = router_losses(routing, counts=counts, tokens=whole[-1], top_k=TOP_K)
        loss = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten()) / lanes.count
        return Losses(loss + moe.balance_loss * balance + moe.z_loss * z, loss.detach())

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        shares = lanes.backward(model, [partial(losses, part) for part in ids.chunk(lanes.count)])
        optimizer.step()
        return sum(share.item() for share in shares)

    return step


def make_theirs(experts: str, *, compiled: bool) -> Step:
    """transformers' step."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    settings: dict[str, Any] = dict(
        vocab_size=VOCAB, hidden_size=SHAPE["width"], intermediate_size=SHAPE["ffn"],
        num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"], max_position_embeddings=LENGTH, num_local_experts=EXPERTS,
        num_experts_per_tok=TOP_K, output_router_logits=True, use_cache=False, tie_word_embeddings=True,
        attn_implementation="sdpa", experts_implementation=experts,
    )  # fmt: skip
    model: Any = transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    if compiled:
        model = torch.compile(model)
    ids = token_ids()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make(name: str) -> Step:
    """The step of a contender; building ours asks the C library to keep freed memory."""
    from contextlib import nullcontext

    if name.startswith("mixtral"):
        kind = "eager" if name.endswith("loop") else "grouped_mm"
        return make_theirs(kind, compiled=name.endswith("compiled"))
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.layers.kernels import plain_kernels

    keep_freed_memory()
    step = make_ours()

    def run() -> float:
        with plain_kernels() if name.endswith("plain") else nullcontext():
            return step()

    return run


def token_ids() -> Any:
    """The same random batch for all."""
    import torch

    return torch.randint(6, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--compile", action="store_true", help="with transformers compiled")
    arguments = parser.parse_args()
    names = [*CONTENDERS, *(["mixtral compiled"] if arguments.compile else [])]
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock")
    save(compare(make, names, arguments, tokens=BATCH * LENGTH), arguments.json)


if __name__ == "__main__":
    main()
