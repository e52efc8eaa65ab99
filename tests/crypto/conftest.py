"""What several tests of this room share."""

import pytest

from qanat.core.streams import Streams


class StreamEntropy:
    """The shape of the Entropy port over a named stream. Only tests may do this."""

    def __init__(self, name):
        self._rng = Streams(seed=5).get(name)

    def random_bytes(self, size_bytes):
        return self._rng.bytes(size_bytes)


@pytest.fixture
def stream_entropy():
    return StreamEntropy
