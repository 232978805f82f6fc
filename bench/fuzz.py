"""Ten thousand cases of bad input, new ones each time: no traceback may reach the user.

python bench/fuzz.py [CASES]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bad_input.cases import PROPERTIES


def main(cases: int = 10_000) -> bool:
    many = settings(
        max_examples=cases // len(PROPERTIES),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    for name, holds in PROPERTIES.items():
        start = time.monotonic()
        many(holds)()  # raises with the smallest case that it finds
        took_s = time.monotonic() - start
        print(
            f"{name}: {cases // len(PROPERTIES)} cases in {took_s:.0f} s, no traceback", flush=True
        )
    return True


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
