"""Compile and load what the first key block would otherwise wait for."""

from __future__ import annotations

from collections.abc import Callable


def warm_up(progress: Callable[[str], None]) -> None:
    """Load the compiled kernels; compile them first if this machine has not yet.

    The first time takes some 5 s of one core, later 0.3 s: numba keeps the result beside the source.
    """
    import numpy as np

    from qanat.crypto.toeplitz import toeplitz_hash
    from qanat.distill.cascade.reconciler import Reconciler
    from qanat.distill.cascade.schedule import schedule_from_qber

    progress("distillation kernels: reconciliation")
    size_bits = 256
    schedule = schedule_from_qber(size_bits, 0.02)
    bits = np.zeros(size_bits, dtype=np.uint8)
    ends = [
        Reconciler(bits, is_reference=is_reference, schedule=schedule, seed=b"warm-up")
        for is_reference in (True, False)
    ]
    while (first := ends[0].next_query()) is not None and (second := ends[1].next_query()) is not None:
        ends[0].feed(second)
        ends[1].feed(first)
    progress("distillation kernels: privacy amplification")
    toeplitz_hash(np.packbits(bits), size_bits=size_bits, seed=np.zeros(40, dtype=np.uint8), out_bits=64)
    progress("distillation kernels ready")
