"""Compile and load what the first key block would otherwise wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qanat.distill.rounds import Rounds

CASCADE_BITS, LDPC_BITS, QBER = 20_000, 131_072, 0.02  # LDPC has no code for much shorter key blocks


def warm_up(progress: Callable[[str], None]) -> None:
    """Load the compiled kernels; compile them first if this machine has not yet.

    The first time takes some 5 s of one core, later 0.3 s: numba keeps the result beside the source.
    """
    import numpy as np

    from qanat.crypto.toeplitz import toeplitz_hash
    from qanat.distill.cascade.reconciler import Reconciler
    from qanat.distill.cascade.schedule import schedule_from_qber
    from qanat.distill.ldpc.parameters import ldpc_parameters
    from qanat.distill.ldpc.reconciler import LdpcReconciler

    keys = np.zeros((2, LDPC_BITS), dtype=np.uint8)
    keys[1, ::50] = 1  # errors, so that correcting them is compiled too
    progress("distillation kernels: reconciliation by Cascade")
    schedule = schedule_from_qber(CASCADE_BITS, QBER)
    _reconcile(
        *(
            Reconciler(key[:CASCADE_BITS], is_reference=not end, schedule=schedule, seed=b"warm-up")
            for end, key in enumerate(keys)
        )
    )
    progress("distillation kernels: reconciliation by LDPC")
    parameters = ldpc_parameters(LDPC_BITS, QBER)
    if parameters is not None:
        _reconcile(
            *(
                LdpcReconciler(key, is_reference=not end, parameters=parameters, seed=b"warm-up")
                for end, key in enumerate(keys)
            )
        )
    size_bits, bits = 256, keys[0, :256]
    progress("distillation kernels: privacy amplification")
    toeplitz_hash(np.packbits(bits), size_bits=size_bits, seed=np.zeros(40, dtype=np.uint8), out_bits=64)
    progress("distillation kernels ready")


def _reconcile(first: Rounds, second: Rounds) -> None:
    while (said := first.next_query()) is not None and (answer := second.next_query()) is not None:
        first.feed(answer)
        second.feed(said)
    for end in (first, second):
        end.corrected()
        end.wipe()
