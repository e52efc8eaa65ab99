"""What is drawn when, and light that does not fit together: blocks missing, slots shifted."""

import numpy as np
from tests.distill.pairing import Light, Pair, SystemEntropy, a_plan, digest

from qanat.core.records import SettingsColumns
from qanat.distill import session
from qanat.distill.messages import Amplify, Check, Checked, Detections, Parities, Reconcile, decoded

FULL = 6  # pulse blocks that fill a key block of ``a_plan``


class Diary(SystemEntropy):
    """One list of what was drawn and heard, in order; parities only as the transmitter hears them."""

    def __init__(self):
        self.entries = []
        self.is_transmitter = False

    def random_bytes(self, size_bytes):
        drawn = super().random_bytes(size_bytes)
        self.entries.append(drawn)
        return drawn

    def heard(self, data):
        message = decoded(data)
        if self.is_transmitter or not isinstance(message, Parities):
            self.entries.append(message)
        return message

    def beside(self, receive):
        def noted(frame, now_ns):
            self.is_transmitter = True
            receive(frame, now_ns)
            self.is_transmitter = False

        return noted

    def where(self, kind, block):
        """Places of this kind of message about this key block."""
        return [at for at, each in enumerate(self.entries) if isinstance(each, kind) and each.block == block]

    def drawn_at(self, value):
        """Where exactly this value was drawn, and nowhere else."""
        (at,) = (at for at, each in enumerate(self.entries) if isinstance(each, bytes) and each == value)
        return at


def test_seeds_and_hash_keys_are_drawn_when_nobody_can_use_them_any_more(monkeypatch):
    diary = Diary()
    monkeypatch.setattr(session, "decoded", diary.heard)
    pair = Pair(entropy=diary)
    monkeypatch.setattr(pair.alice, "receive", diary.beside(pair.alice.receive))
    pair.run(2 * FULL)
    assert len(pair.keys(pair.bob)) == 2
    for block in (0, 1):
        (begun,), (asked,), (verdict,), (shortened,) = (
            diary.where(kind, block) for kind in (Reconcile, Check, Checked, Amplify)
        )
        last_parities = max(diary.where(Parities, block))
        light = [at for at, each in enumerate(diary.entries) if isinstance(each, Detections)][: (block + 1) * FULL - 1]
        assert max(light) < diary.drawn_at(diary.entries[begun].seed) < begun
        assert last_parities < diary.drawn_at(diary.entries[asked].hash_key) < asked
        assert verdict < diary.drawn_at(diary.entries[shortened].seed) < shortened


class Shifted(Light):
    """A transmitter whose slots are one off against the receiver's clock, from some pulse block on."""

    def __init__(self, plan, *, seed, since):
        super().__init__(plan, seed=seed)
        self.since = since

    def settings_at(self, block_number, index):
        prepared = self.prepared(block_number)
        at = (index + (block_number >= self.since)) % self.plan.pulses_per_block
        return SettingsColumns(intensity=prepared.intensity[at], basis=prepared.basis[at], bit=prepared.bit[at])


def test_a_clock_one_slot_off_gives_no_key_and_says_why_and_key_comes_again_when_it_fits():
    plan = a_plan()
    pair = Pair(plan=plan, transmitter=Shifted(plan, seed=1, since=FULL + 1))
    pair.run(4 * FULL)
    for end in (pair.alice, pair.bob):
        first, *others = pair.reports(end)
        assert first.aborted is None
        assert first.secret_bits > 0
        assert others
        assert all(report.aborted is not None and report.secret_bits == 0 for report in others[1:])
        assert not pair.failures(end)
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert len(pair.keys(pair.bob)) == 1


def test_pulse_blocks_that_never_came_leave_no_trace_in_the_key():
    pair, stream = Pair(), np.random.default_rng(4)
    while len(pair.keys(pair.bob)) < 2:
        pair.until_quiet()
        pair.number += int(stream.integers(0, 4))  # the receiver's module lost up to three
        pair.shine()
    pair.until_quiet()
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert all(report.aborted is None for report in pair.reports(pair.alice))
