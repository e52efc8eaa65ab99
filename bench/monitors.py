"""CPU of the watcher per report, quiet and under attack, as one JSON object on standard output.

python bench/monitors.py
"""

from __future__ import annotations

import json
import time

import numpy as np

from qanat.core.ids import LinkId
from qanat.core.report import LinkReport
from qanat.watch.watcher import Watcher

LINK = LinkId("alfa-bravo")
WINDOW_NS = 50_000_000
REPORTS = 5_000


def reports(rng: np.random.Generator, first: int, qber: float) -> list[LinkReport]:
    tests = rng.poisson(4000, REPORTS)
    errors = rng.binomial(tests, qber)
    detections = rng.poisson(200_000, REPORTS)
    return [
        LinkReport(
            link=LINK,
            number=first + row,
            start_ns=(first + row) * WINDOW_NS,
            duration_ns=WINDOW_NS,
            n_pulses=50_000_000,
            detection_count=int(detections[row]),
            double_click_count=0,
            sifted_counts=((36_000, int(tests[row])),),
            error_counts_z=(int(errors[row]),),
            made_at_ns=0,
        )
        for row in range(REPORTS)
    ]


def main() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    watcher = Watcher(links=[LINK], false_alarm_interval_s=2_592_000.0, pulse_block_ns={LINK: WINDOW_NS})
    result: dict[str, float | str] = {"bench": "watch.observe", "reports": REPORTS}
    for name, first, qber in (("quiet", 0, 0.02), ("alarmed", REPORTS, 0.25)):
        batch = reports(rng, first, qber)
        before = time.process_time()
        for report in batch:
            watcher.observe(report, 0)
        result[f"{name}_us_per_report"] = round((time.process_time() - before) / REPORTS * 1e6, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
