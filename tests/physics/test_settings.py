from __future__ import annotations

import numpy as np
import pytest

from qanat.physics import kernels, plain
from qanat.physics.settings import WORD, SettingsFunction, SettingsLaw, law_from_probabilities

# Known answers of Random123's kat_vectors file, philox4x32 10: counter, key, output.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, words) -> None:
    expected = tuple(int(word, 16) for word in words.split())
    assert plain.philox(counter, key) == expected
    assert tuple(int(word) for word in kernels.philox(*map(np.uint64, (*counter, *key)))) == expected


def test_philox_by_columns_is_philox() -> None:
    index = np.array([0, 1, (1 << 32) - 1, 1 << 32, (1 << 62) + 12345], dtype=np.int64)
    columns = plain.philox_columns(index, (7, 9), 3, 5)
    for i, slot in enumerate(index.tolist()):
        one = plain.philox((slot & plain.MASK32, slot >> 32, 3, 5), (7, 9))
        assert tuple(int(column[i]) for column in columns) == one


def test_kernel_and_plain_settings_are_bit_equal(settings: SettingsFunction) -> None:
    index = np.random.default_rng(1).integers(0, 1 << 62, 20_000)
    fast, slow = settings.at(index), settings.at_plain(index)
    for name in ("intensity", "basis", "bit"):
        assert getattr(fast, name).dtype == np.uint8
        assert np.array_equal(getattr(fast, name), getattr(slow, name))


def test_settings_follow_the_law_defined_by_the_thresholds(settings: SettingsFunction) -> None:
    """Chi square over 12 cells; false alarm probability 1e-6 (11 degrees: 48.9)."""
    seen = settings.at(np.arange(1_000_000))
    cells = np.bincount((seen.intensity.astype(int) * 2 + seen.basis) * 2 + seen.bit, minlength=12)
    expected = settings.law.p_settings * 1_000_000
    assert ((cells - expected) ** 2 / expected).sum() < 48.9


def test_the_thresholds_are_hit_exactly() -> None:
    """A word equal to a threshold belongs to the next choice; the first words around it are found by search."""
    function = SettingsFunction(b"12345678", law_from_probabilities(intensities=(1.0,), p_intensities=(1.0,), p_x=1.0))
    words = plain.philox_columns(np.arange(64), function.key_words, 0, 0)
    word = int(words[0][5])
    for threshold, intensity in ((word, 1), (word + 1, 0)):
        function.law = SettingsLaw(intensities=(0.5, 0.1), thresholds=(threshold, WORD), threshold_x=int(words[2][5]))
        for seen in (function.at(np.array([5])), function.at_plain(np.array([5]))):
            assert seen.intensity[0] == intensity
            assert seen.basis[0] == 1


def test_probabilities_are_exact_multiples_of_the_word_and_sum_to_one() -> None:
    law = law_from_probabilities(intensities=(0.5, 0.1, 0.0), p_intensities=(0.7, 0.2, 0.1), p_x=0.9)
    assert sum(law.p_intensities) == 1.0
    assert law.p_intensities[0] * WORD == law.thresholds[0]
    assert law.p_settings.sum() == pytest.approx(1, abs=1e-15)


def test_a_law_that_never_sends_an_intensity_is_refused() -> None:
    with pytest.raises(ValueError, match="positive probability"):
        SettingsLaw(intensities=(0.5, 0.1), thresholds=(WORD, WORD), threshold_x=1)
    with pytest.raises(ValueError, match="last is 2\\*\\*32"):
        SettingsLaw(intensities=(0.5, 0.1), thresholds=(5, 6), threshold_x=1)


def test_keys_and_runs_give_unrelated_settings(settings: SettingsFunction) -> None:
    index = np.arange(10_000)
    own = settings.at(index).bit
    for other in (
        SettingsFunction(b"another simulation key", settings.law),
        SettingsFunction(b"simulation key of a test link", settings.law, run=1),
    ):
        assert abs(int((other.at(index).bit != own).sum()) - 5000) < 300  # 6 sigma


def test_the_key_is_not_shown_and_short_keys_are_refused(settings: SettingsFunction) -> None:
    assert "simulated" in repr(settings)
    assert str(settings.key_words[0]) not in repr(settings)
    with pytest.raises(ValueError, match="too short"):
        SettingsFunction(b"short", settings.law)
    with pytest.raises(ValueError, match="negative"):
        settings.at(np.array([-1]))
