"""The compiled kernels. Only this folder of the room imports numba; import it where it is needed.

Every kernel has a slow twin, equal bit for bit: ``plain.py`` for the generators, ``plain_sparse.py`` for the sparse
sampler, ``plain_recorder.py`` for the time tagger, ``plain_memory.py`` for memory alone, ``renewal.py`` for what the
mean-field law needs of it; the dense sampler is itself the slow oracle.
"""

from qanat.physics.kernels.counts import alive_after_click, binomial, dealt, thinned
from qanat.physics.kernels.dense import dense_clicks
from qanat.physics.kernels.generators import fill_settings, next_word, normal, philox, settings_at, uniform
from qanat.physics.kernels.memory import remembered
from qanat.physics.kernels.sparse import BOUND_BROKEN, OK, OUT_FULL, TRAPS_FULL, sparse_causes, sparse_clicks
from qanat.physics.kernels.timing import merged_events, timed_events

__all__ = [
    "BOUND_BROKEN",
    "OK",
    "OUT_FULL",
    "TRAPS_FULL",
    "alive_after_click",
    "binomial",
    "dealt",
    "dense_clicks",
    "fill_settings",
    "merged_events",
    "next_word",
    "normal",
    "philox",
    "remembered",
    "settings_at",
    "sparse_causes",
    "sparse_clicks",
    "thinned",
    "timed_events",
    "uniform",
]
