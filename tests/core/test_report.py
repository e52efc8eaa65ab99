"""Reports: what they derive, and the schema that other programs read them by."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import msgspec
import pytest

from qanat.core.health import Arrivals, ReceiverHealth, TransmitterHealth
from qanat.core.ids import LinkId
from qanat.core.report import BlockReport, LinkReport
from qanat.core.report_schema import report_schema

RECEIVER = ReceiverHealth(
    arrivals=tuple(Arrivals(count=count) for count in (30, 10, 5, 15)),
    gap_histogram=(0, 1, 2),
    bias_current_na=(0.1,) * 4,
    temperature_c=-40.0,
    control_effort=0.2,
)
TRANSMITTER = TransmitterHealth(power_ratio=1.0, in_port_power_nw=0.0, temperature_c=25.0, control_effort=0.1)
REPORT = LinkReport(
    link=LinkId("north-south"),
    number=3,
    start_ns=0,
    duration_ns=1_000_000,
    n_pulses=1000,
    detection_count=60,
    double_click_count=1,
    sifted_counts=((20, 6), (8, 2), (1, 1)),
    error_counts_z=(1, 0, 1),
    made_at_ns=5,
    receiver=RECEIVER,
    transmitter=TRANSMITTER,
)


def test_shares_come_from_the_detectors_counts() -> None:
    assert REPORT.basis_share_x == pytest.approx(40 / 60)
    assert REPORT.bit_share_1 == (pytest.approx(0.25), pytest.approx(0.75))
    assert REPORT.vacuum_gain == pytest.approx(2 / 1000)


def test_a_report_without_health_has_no_shares() -> None:
    bare = replace(REPORT, receiver=None, transmitter=None)
    assert bare.basis_share_x is None
    assert bare.bit_share_1 == (None, None)


@pytest.mark.parametrize("kind", [LinkReport, BlockReport])
def test_every_field_of_a_report_is_in_its_schema_with_a_description(
    kind: type[LinkReport] | type[BlockReport],
) -> None:
    schema = report_schema(kind)
    assert set(schema["properties"]) == set(kind.__dataclass_fields__)
    undescribed = {name for name, field in schema["properties"].items() if "description" not in field}
    assert undescribed <= {"link", "block"}  # which say what they are


def test_a_written_report_is_what_the_schema_says() -> None:
    """Judged by a validator that is not ours."""
    written = msgspec.json.decode(msgspec.json.encode(REPORT))
    jsonschema.validate(written, report_schema(LinkReport))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "n_pulses": "many"}, report_schema(LinkReport))
