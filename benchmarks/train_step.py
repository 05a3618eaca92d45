"""A training step of the 8M-parameter GPT and BERT against transformers' classes.

    python benchmarks/train_step.py [--rounds 7] [--threads 2] [--clock wall|cpu] [--only NAME ...] [--json F]

10 layers x 256, 4 heads, vocabulary 70, batch 16 x 256 tokens, float32, CPU, dropout 0. A step is zero_grad,
forward, loss, backward, update. Ours is what `seqloom train` does: `build_model`, `build_loss`, the fused
AdamW of `build_optimizer`, parts of the batch side by side (`lanes_for`), freed memory kept. Theirs is
GPT2LMHeadModel with SDPA attention, `labels=`, and `torch.optim.AdamW(model.parameters())` as documented; a
line with the fused AdamW is shown too. BERT is BertForMaskedLM, 15 % of the tokens masked on both sides: we
compute the output layer for these alone, transformers for all. What losses cost: `loss_step.py`.

Each contender lives in a process of its own, as a user runs it, and the processes take turns, one step each a
round, so that a busy machine disturbs the ratios of a round little.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from paired import Step, compare, options, save

BATCH, LENGTH, VOCAB, LAYERS, WIDTH, HEADS = 16, 256, 70, 10, 256, 4
CONTENDERS = ("seqloom", "seqloom plain", "transformers", "transformers fused",
              "seqloom bert", "transformers bert", "transformers bert fused")  # fmt: skip
RATIOS = (
    ("seqloom", "transformers"),
    ("seqloom", "transformers fused"),
    ("seqloom", "seqloom plain"),
    ("seqloom bert", "transformers bert"),
    ("seqloom bert", "transformers bert fused"),
)


def make_ours(*loss_names: str, bert: bool = False) -> list[Step]:
    """Our step with each loss: objective, model, losses, optimizer as the training loop builds them.

    Only the losses differ; model and optimizer are the same, so that all steps use the same memory.
    """
    import torch

    from biodata.codon import CODONS
    from biodata.tokenizers.special import SPECIAL_TOKENS
    from biotrain.lanes import Losses, lanes_for
    from biotrain.losses import LossConfig, build_loss
    from biotrain.models import ModelConfig, build_model
    from biotrain.objectives import IGNORE, ObjectiveConfig, build_objective
    from biotrain.optim import OptimConfig, build_optimizer

    kind = "bert" if bert else "gpt2"
    shape = ModelConfig(name=kind, layers=LAYERS, width=WIDTH, heads=HEADS, context=LENGTH)
    model = build_model(shape, vocab_size=VOCAB)
    optimizer = build_optimizer(model, OptimConfig(lr=1e-3))
    tokens = (*SPECIAL_TOKENS, *CODONS)
    objective = build_objective(ObjectiveConfig(name="mlm" if bert else "clm"), vocab_size=VOCAB)
    ids, generator = token_ids(), torch.Generator()
    lanes = lanes_for(threads=torch.get_num_threads(), rows=BATCH, tokens=LENGTH, width=WIDTH, dropout=0)

    def losses(loss_of: Any, inputs: Any, targets: Any) -> Losses:
        rows = targets != IGNORE
        loss = loss_of(model(inputs, rows=rows), targets[rows])
        return Losses(loss / lanes.count, loss.detach() / lanes.count)

    def step(loss_of: Any) -> float:
        optimizer.zero_grad(set_to_none=True)
        inputs, targets = objective.prepare(ids, torch.ones_like(ids, dtype=torch.bool), generator)[:2]
        halves = zip(inputs.chunk(lanes.count), targets.chunk(lanes.count))
        shares = lanes.backward(model, [partial(losses, loss_of, *half) for half in halves])
        optimizer.step()
        return sum(share.item() for share in shares)

    return [partial(step, build_loss(LossConfig(name=name), tokens=tokens)) for name in loss_names]


def make_bert(*, fused: bool) -> Step:
    """transformers' step of a masked model."""
    import torch
    import transformers

    from biotrain.objectives import IGNORE, ObjectiveConfig, build_objective

    transformers.logging.set_verbosity_error()
    shape: dict[str, Any] = dict(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=LENGTH, type_vocab_size=1,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.BertForMaskedLM(transformers.BertConfig(**shape)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True if fused else None)
    objective = build_objective(ObjectiveConfig(name="mlm"), vocab_size=VOCAB)
    ids, generator = token_ids(), torch.Generator()

    def step() -> float:
        optimizer.zero_grad()
        inputs, targets = objective.prepare(ids, torch.ones_like(ids, dtype=torch.bool), generator)[:2]
        assert IGNORE == -100
        loss = model(input_ids=inputs, labels=targets).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make_theirs(*, fused: bool) -> Step:
    """transformers' step."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    shape: dict[str, Any] = dict(
        vocab_size=VOCAB, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, bos_token_id=1, eos_token_id=2,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True if fused else None)
    ids = token_ids()

    def step() -> float:
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def make(name: str) -> Step:
    """The step of a contender; building ours asks the C library to keep freed memory."""
    from contextlib import nullcontext

    if name.startswith("transformers"):
        maker = make_bert if "bert" in name else make_theirs
        return maker(fused=name.endswith("fused"))
    from biotrain.fast_memory import keep_freed_memory
    from biotrain.layers.kernels import plain_kernels

    keep_freed_memory()
    (step,) = make_ours("xe", bert=name.endswith("bert"))

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
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    arguments = parser.parse_args()
    print(f"{arguments.rounds} rounds, {arguments.threads} threads, {arguments.clock} clock, a process each")
    save(compare(make, arguments.only, arguments, tokens=BATCH * LENGTH, pairs=RATIOS), arguments.json)


if __name__ == "__main__":
    main()
