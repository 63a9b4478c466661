"""What a step of `datagen train` costs against a plain loop with `transformers`, and that both learn the same.

    python benchmarks/training.py RUN [--steps 30] [--json FILE]

The plain loop is the one of docs/training.md: a padded batch, `LlamaForCausalLM`, `weighted_loss`, AdamW. All train on
the same rows in the same order, a step of each in turn, with as many threads as torch takes; rows per second and ratios
are medians over the steps. The difference of losses is the largest of any step, in nats per token; held-out losses are
those after the last step, in float32. `mfu` is the model FLOPs utilization (PaLM, arXiv 2204.02311): operations which
the rows need, forward and backward, over those that the same processor time could do in one large product of the same
precision. On a machine that does other work too the ratio is higher, since operations of the plain loop that are split
over cores wait for the slowest core; there, with OMP_NUM_THREADS=1, believe the ratio of CPU time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from datagen.console import print_table  # noqa: E402
from datagen.embedded.decoder import open_threads  # noqa: E402
from datagen.embedded.options import SHIPPED  # noqa: E402
from datagen.training.finetune import (  # noqa: E402
    CLIP_NORM,
    Data,
    Parts,
    TrainPlan,
    find_dataset,
    load_parts,
    measure_loss,
    open_data,
    open_rows,
    take_step,
)
from datagen.training.learner import Learner, find_precision  # noqa: E402
from datagen.training.weighted import Index, Targets, Tokens, WeightedDataset, collate, weighted_loss  # noqa: E402

Step = Callable[[Sequence[Index]], tuple[float, float]]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run with a dataset, or the dataset")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    plan = TrainPlan(find_dataset(asked.run), SHIPPED)
    ways = ["plain", "float32", *{find_precision()} - {"float32"}]
    parts = {way: load_parts(SHIPPED) for way in ways}
    data = open_data(plan, parts["plain"])
    draws, targets = open_rows(plan, data, 0)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    losses: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    needed: list[float] = []
    with open_threads(torch.get_num_threads()) as pool:
        learners = {way: Learner(parts[way].model, parts[way].vocab.pad, way, pool) for way in ways[1:]}
        steps: dict[str, Step] = {"plain": make_plain(parts["plain"], plan, data, targets)}
        steps |= {way: make_ours(parts[way], learners[way], plan, data, targets) for way in ways[1:]}
        for _ in range(asked.steps):
            rows = list(islice(draws, plan.batch))
            needed.append(count_operations(parts["plain"], [data.train[row] for row in rows]))
            for way, step in steps.items():
                start, busy = time.perf_counter(), time.process_time()
                losses[way].append(step(rows))
                seconds[way].append(time.perf_counter() - start)
                cpu[way].append(time.process_time() - busy)
        held_out = {
            way: measure_loss(Learner(parts[way].model, parts[way].vocab.pad, "float32", pool), data.held_out)
            for way in ways
        }
    peaks = {way: measure_peak(getattr(torch, way)) for way in ways[1:]}
    table = {
        way: {
            "rows_a_second": plan.batch / median(seconds[way]),
            "times_plain": median(a / b for a, b in zip(seconds["plain"], seconds[way], strict=True)),
            "times_in_cpu": median(a / b for a, b in zip(cpu["plain"], cpu[way], strict=True)),
            "mfu": median(n / s for n, s in zip(needed, cpu[way], strict=True)) / peaks.get(way, peaks["float32"]),
            "text_differs": max(abs(a[0] - b[0]) for a, b in zip(losses["plain"], losses[way], strict=True)),
            "image_differs": max(abs(a[1] - b[1]) for a, b in zip(losses["plain"], losses[way], strict=True)),
            "held_out_text": held_out[way][0],
            "held_out_image": held_out[way][1],
        }
        for way in ways
    }
    rows_ = [(way, *(None if v is None else f"{v:.5g}" for v in row.values())) for way, row in table.items()]
    print_table(["", *(name.replace("_", " ") for name in table["plain"])], rows_)
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def count_operations(parts: Parts, rows: Sequence[Tokens]) -> float:
    """Return the floating point operations that learning from rows needs: 2 a multiplication, thrice the forward pass.

    A row is read up to its last learned token, causal attention sees half of all pairs, and logits count where
    something is learned.
    """
    config, done = parts.model.config, 0.0
    inner = sum(
        weight.numel() for name, weight in parts.model.named_parameters() if weight.ndim == 2 and ".layers." in name
    )
    for row in rows:
        (learned,) = row.weights.nonzero(as_tuple=True)
        length = int(learned.max())
        pairs = length * length / 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
        done += 2 * (length * inner + len(learned) * config.vocab_size * config.hidden_size + 2 * pairs)
    return 3 * done


def measure_peak(dtype: torch.dtype) -> float:
    """Return the operations that a core does in a second of a large product, the best of 20."""
    size = 1024
    one, other = (torch.randn(size, size, dtype=dtype) for _ in range(2))
    best = math.inf
    for _ in range(20):
        start = time.process_time()
        one @ other
        best = min(best, time.process_time() - start)
    return 2 * size**3 / best


def make_plain(parts: Parts, plan: TrainPlan, data: Data, targets: Targets) -> Step:
    """Return a step of the loop on the page: rows are read from the dataset each time."""
    dataset = WeightedDataset(plan.dataset, data.train.encode)
    model, optimizer = parts.model, torch.optim.AdamW(parts.model.parameters(), plan.lr, (0.9, 0.95), weight_decay=0)

    def step(rows: Sequence[Index]) -> tuple[float, float]:
        batch = collate([dataset[row] for row in rows], parts.vocab.pad)
        logits = model(input_ids=batch.ids, attention_mask=batch.attention, use_cache=False).logits
        text, image = weighted_loss(logits, batch.labels, batch.weights, batch.kinds, targets)
        optimizer.zero_grad()
        (text + image).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return text.item(), image.item()

    return step


def make_ours(parts: Parts, learner: Learner, plan: TrainPlan, data: Data, targets: Targets) -> Step:
    """Return a step of `datagen train`."""
    optimizer = torch.optim.AdamW(parts.model.parameters(), plan.lr, (0.9, 0.95), weight_decay=0, fused=True)

    def step(rows: Sequence[Index]) -> tuple[float, float]:
        text, image = take_step(parts.model, learner, optimizer, [data.train[row] for row in rows], plan, targets)
        return text or 0.0, image or 0.0

    return step


if __name__ == "__main__":
    main()
