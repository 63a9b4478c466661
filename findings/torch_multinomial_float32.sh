#!/usr/bin/env bash
# torch 2.13.0, CPU: `torch.multinomial` with float32 weights gives the light rows of a large table a quarter of their due.
#
# Guess: a row is drawn in proportion to its weight, up to chance, for any number of rows below the documented 2**24.
# Seen: ten million rows in random order, half of weight 1 and half of weight 0.05, forty million draws with
# replacement. By the weights 4.8 % of the draws fall on light rows, and 32 % of these rows are met at least once.
# float64 weights give 4.76 % and 31.6 %; float32 weights give 1.15 % and 7.1 %. The running sum of weights is kept in
# float32, whose steps near 1 are wider than a light row: most of them have no width left.
# Who meets it: whoever draws training rows by weights in the default type. No error, no warning, and small tables are
# right.
# `WeightedRandomSampler` is not hit: it keeps its weights as float64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import math

import torch

ROWS, ROUNDS, LIGHT = 10_000_000, 4, 0.05
torch.manual_seed(0)
light = torch.rand(ROWS) < 0.5


def draw(dtype):
    """Return which share of the light rows was met, and which share of all draws fell on light rows."""
    torch.manual_seed(1)
    weights = torch.where(light, LIGHT, 1.0).to(dtype)
    counts = torch.zeros(ROWS, dtype=torch.int64)
    for _ in range(ROUNDS):
        counts += torch.bincount(torch.multinomial(weights, ROWS, replacement=True), minlength=ROWS)
    of_light = counts[light]
    return (of_light > 0).double().mean().item(), of_light.sum().item() / counts.sum().item()


total = torch.where(light, LIGHT, 1.0).double().sum().item()
expected = 1 - math.exp(-ROUNDS * ROWS * LIGHT / total)
single, single_share = draw(torch.float32)
double, double_share = draw(torch.float64)
print(f"torch {torch.__version__}: light rows met: by the weights {expected:.3f}, float64 {double:.3f}, float32 {single:.3f}")
print(f"share of draws that fell on light rows: float64 {double_share:.4f}, float32 {single_share:.4f}")
assert abs(double - expected) < 0.005, double
assert single < 0.5 * expected, single
assert single_share < 0.5 * double_share, single_share
PY
