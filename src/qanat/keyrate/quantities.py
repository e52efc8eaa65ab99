"""Every name that a key-rate formula may ask for, once."""

from __future__ import annotations

from typing import Final

from qanat.keyrate.parameter import Parameter, Quantity, Value

PROBABILITY = "probability"
QUANTITIES: Final[dict[str, Quantity]] = {
    # channel
    "distance_km": Quantity(unit="km", text="length of fibre between the two ends"),
    "attenuation_db_per_km": Quantity(unit="dB/km", text="of the fibre"),
    "insertion_loss_db": Quantity(unit="dB", text="fixed loss besides the fibre: connectors, filters, receiver optics"),
    "loss_db": Quantity(unit="dB", text="loss of the whole channel, in place of distance_km and attenuation"),
    # detectors
    "detector_efficiency": Quantity(unit=PROBABILITY, text="of each detector", high=1.0, is_low_open=True),
    "p_dark": Quantity(unit=PROBABILITY + " per detector and gate", text="dark count", high=1.0, is_high_open=True),
    "p_noise": Quantity(
        unit=PROBABILITY + " per detector and gate",
        text="counts of light from elsewhere: coexisting channels, sky",
        high=1.0,
        is_high_open=True,
    ),
    "p_afterpulse": Quantity(unit=PROBABILITY + " per click", text="of an afterpulse", high=1.0, is_high_open=True),
    "misalignment": Quantity(unit=PROBABILITY, text="that a photon takes the wrong detector", high=0.5),
    "clock_hz": Quantity(unit="Hz", text="pulses (rounds) per second, for rates per second", is_low_open=True),
    # light
    "mu": Quantity(unit="photons per pulse", text="mean photon number of the signal", is_low_open=True, high=10.0),
    "nu": Quantity(unit="photons per pulse", text="mean photon number of the weak decoy", is_low_open=True, high=10.0),
    "mu_test": Quantity(
        unit="photons per pulse", text="mean photon number of the brightest test light", is_low_open=True, high=10.0
    ),
    "omega": Quantity(unit="photons per pulse", text="mean photon number of the weakest decoy; 0 is vacuum", high=10.0),
    "decoys": Quantity(
        unit="variant", text="how single photons are bounded", choices=("infinite", "vacuum_weak", "two", "one")
    ),
    "vacuum": Quantity(
        unit="convention",
        text="whether detections of empty pulses are credited as secret; left out: as the source of the formula has it",
        choices=("credited", "not_credited"),
    ),
    "deviations": Quantity(
        unit="variant",
        text="how far counts may lie from their means: a deviation of all counts together, or of each intensity's own",
        choices=("hoeffding", "chernoff"),
    ),
    "mean_pairs": Quantity(
        unit="pairs per pump pulse", text="mean photon pairs of a down-conversion source", is_low_open=True, high=10.0
    ),
    "source_share": Quantity(
        unit="ratio",
        text="of the channel's loss in dB that lies between the pair source and the first end; 0 is a source there",
        high=1.0,
    ),
    "visibility": Quantity(unit="ratio", text="of the entangled pairs as emitted: a Werner state's weight", high=1.0),
    "p_chsh": Quantity(
        unit=PROBABILITY, text="that the settings of a round serve the CHSH inequality", high=1.0, is_high_open=True
    ),
    "mu_trojan": Quantity(
        unit="photons per pulse",
        text="mean photon number of a Trojan-horse probe as it comes back out of the transmitter",
        high=10.0,
    ),
    "intensity_spread": Quantity(
        unit="ratio",
        text="how far each pulse's mean photon number may lie from the nominal one, up or down",
        high=1.0,
        is_high_open=True,
    ),
    "intensity_rise": Quantity(
        unit="ratio",
        text="how much brighter pulses may be than they should without a monitor seeing it: laser seeding",
        high=10.0,
    ),
    "correlation_spread": Quantity(
        unit="ratio",
        text="how far a pulse's mean photon number may lie from the nominal one because of the settings before it",
        high=1.0,
        is_high_open=True,
    ),
    "correlation_length": Quantity(
        unit="pulses", text="how many pulses back settings still act on a pulse's intensity", high=1e6
    ),
    "efficiency_ratio": Quantity(
        unit="ratio",
        text="of the less efficient detector to the other, the least that light from outside can bring about",
        high=1.0,
        is_low_open=True,
    ),
    # basis and sifting
    "sifting": Quantity(
        unit="factor",
        text="share of the rounds that make key: 1/2 for equal bases, 1 for a biased choice",
        is_low_open=True,
        high=1.0,
    ),
    "p_basis": Quantity(
        unit=PROBABILITY,
        text="that an end chooses the key basis",
        is_low_open=True,
        high=1.0,
        is_high_open=True,
    ),
    "p_mu": Quantity(
        unit=PROBABILITY, text="that the signal intensity is sent", is_low_open=True, high=1.0, is_high_open=True
    ),
    "p_nu": Quantity(
        unit=PROBABILITY, text="that the weak decoy is sent", is_low_open=True, high=1.0, is_high_open=True
    ),
    "p_mu_test": Quantity(
        unit=PROBABILITY,
        text="that the brightest test light is sent",
        is_low_open=True,
        high=1.0,
        is_high_open=True,
    ),
    # relays
    "p_send": Quantity(
        unit=PROBABILITY, text="that an end sends light, not vacuum", is_low_open=True, high=1.0, is_high_open=True
    ),
    "slices": Quantity(unit="count", text="equal parts of the circle in which phases are announced", low=2.0),
    "duty_factor": Quantity(
        unit="factor", text="share of the rounds that carry signals, not phase references", is_low_open=True, high=1.0
    ),
    "pairing_rounds_max": Quantity(
        unit="rounds", text="distance of two clicks that may still be paired: clock times coherence time", low=1.0
    ),
    # processing and security
    "f_ec": Quantity(
        unit="factor", text="disclosed bits of error correction over the Shannon limit", low=1.0, high=10.0
    ),
    "qber": Quantity(unit=PROBABILITY, text="error rate of sifted bits", high=0.5),
    "n_x": Quantity(unit="bits", text="sifted bits of one key block in the key basis", is_low_open=True),
    "n_sent": Quantity(unit="pulses", text="pulses of one key block", is_low_open=True),
    "epsilon_sec": Quantity(
        unit=PROBABILITY, text="secrecy failure of a key block", is_low_open=True, high=1.0, is_high_open=True
    ),
    "epsilon_cor": Quantity(
        unit=PROBABILITY, text="correctness failure of a key block", is_low_open=True, high=1.0, is_high_open=True
    ),
    # continuous variables
    "v_a": Quantity(
        unit="shot-noise units", text="variance of Alice's Gaussian modulation", is_low_open=True, high=1e4
    ),
    "xi": Quantity(unit="shot-noise units", text="excess noise at the channel's input", high=100.0),
    "v_el": Quantity(unit="shot-noise units", text="electronic noise of Bob's detector", high=100.0),
    "beta": Quantity(
        unit="factor",
        text="reconciled share of the mutual information, the verification tag counted as disclosed",
        is_low_open=True,
        high=1.0,
    ),
    "alpha": Quantity(
        unit="square root of photons", text="amplitude of the coherent states sent", is_low_open=True, high=10.0
    ),
    "detection": Quantity(
        unit="variant", text="one quadrature of each pulse, or both", choices=("homodyne", "heterodyne")
    ),
    "receiver": Quantity(
        unit="convention",
        text="whether Bob's own loss and electronic noise are out of the eavesdropper's hands",
        choices=("trusted", "untrusted"),
    ),
    "p_estimate": Quantity(
        unit=PROBABILITY,
        text="that a pulse is disclosed to estimate the channel, and makes no key",
        is_low_open=True,
        high=1.0,
        is_high_open=True,
    ),
    "estimate": Quantity(
        unit="convention",
        text="published: the least transmittance within the estimate; worst: the one that tells an eavesdropper most",
        choices=("published", "worst"),
    ),
    "modulation": Quantity(
        unit="variant",
        text="constellation: four phases, or a square grid with binomial weights",
        choices=("qpsk", "qam16", "qam64"),
    ),
    # qudits, entangled pairs, distributed phase reference
    "dimension": Quantity(unit="count", text="of the states of one basis", low=2.0, high=1024.0),
    "bases": Quantity(
        unit="variant", text="mutually unbiased bases in use: two, or all dimension + 1", choices=("two", "all")
    ),
    "chsh": Quantity(unit="value", text="of the CHSH expression, as observed", high=float(2 * 2**0.5)),
    "p_decoy": Quantity(
        unit=PROBABILITY, text="that a signal is a decoy with both pulses lit", high=1.0, is_high_open=True
    ),
    "data_share": Quantity(
        unit="share", text="of the light that goes to the data detector", is_low_open=True, high=1.0
    ),
    # conventions
    "dark_counts": Quantity(
        unit="convention",
        text="whether p_dark is of each detector, or of the whole receiver per pulse (Y0 of the decoy papers)",
        choices=("per_detector", "per_pulse"),
    ),
    "mu_of": Quantity(
        unit="convention",
        text="whether mu is of each end's pulse, or of both ends' pulses together",
        choices=("each_end", "both_ends"),
    ),
    "pairing": Quantity(
        unit="variant", text="how errors are rejected before error correction", choices=("none", "active_odd_parity")
    ),
    "pair_errors": Quantity(
        unit="convention",
        text="whether noise counts add to the phase errors of single-photon pairs, or misalignment is all of them",
        choices=("with_noise", "fixed"),
    ),
    "devices": Quantity(
        unit="convention",
        text="absolute: the bound of the channel alone; relative: detectors' efficiency counts as channel loss",
        choices=("absolute", "relative"),
    ),
}


def parameter(
    name: str,
    default: Value = None,
    source: str = "",
    *,
    is_optional: bool = False,
    search: tuple[float, float] | None = None,
    is_log_search: bool = False,
) -> Parameter:
    """A named quantity with this protocol's default."""
    return Parameter(
        name=name,
        quantity=QUANTITIES[name],
        default=default,
        source=source,
        is_optional=is_optional,
        search=search,
        is_log_search=is_log_search,
    )
