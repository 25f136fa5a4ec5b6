"""The weight of R1 and R2 under relativistic pairing: for which gamma does the game of R3GAN (Huang et al. 2024) work?

    python benchmarks/gamma.py --output benchmarks/results/gamma.txt

Plays the ring of eight Gaussians of ring.py, 1,200 moves, three seeds for each gamma, beside the non-saturating
objective with R1. The same question for pictures is asked by equal_minutes.py, `ours and relativistic, gamma 1` and its
like. lambda_penalty is gamma / 2. About five minutes on one core.
"""

import platform
from collections.abc import Iterator

import torch
from report import processor
from ring import FIGURES, Entry, figures, floor, main

MOVES = 1200
GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
ENTRIES = {
    "non_saturating, r1, gamma 1": Entry("non_saturating", "r1", 0.5, MOVES, 1),
    "relativistic, no penalty": Entry("relativistic", "none", 0.0, MOVES, 1),
    **{
        f"relativistic, r1_r2, gamma {gamma:g}": Entry("relativistic", "r1_r2", gamma / 2, MOVES, 1) for gamma in GAMMAS
    },
}


def report(seeds: int) -> Iterator[str]:
    yield f"A ring of eight Gaussians, {MOVES:,} moves, {seeds} seeds each; the truth's own distance is {floor():.2f}"
    yield f"{processor()}, 1 thread; Python {platform.python_version()}, torch {torch.__version__}"
    yield ""
    yield f"{'':<34}{FIGURES}"
    for name, entry in ENTRIES.items():
        yield f"{name:<34}{figures(entry, seeds)}"


if __name__ == "__main__":
    main(__doc__, report)
