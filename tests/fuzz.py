"""Fuzzes every area for up to ten minutes; `make fuzz`.

  python tests/fuzz.py [--tries=60000] [--seconds=600] [--seed=0]
  python tests/fuzz.py --area=labels --first=123 --tries=1     one try again

Prints tries and failures by area; exits with 1 where something failed.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fuzz_areas
import fuzzing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", choices=fuzz_areas.AREAS)
    parser.add_argument("--tries", type=int, default=60_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    chosen = [given.area] if given.area else list(fuzz_areas.AREAS)
    total = sum(fuzz_areas.AREAS[name][1] for name in chosen)
    results = {}
    for name in chosen:
        area, share = fuzz_areas.AREAS[name]
        results[name] = fuzzing.run(
            name,
            area,
            tries=round(given.tries * share / total),
            seconds=given.seconds * max(share / total, 1 / len(fuzz_areas.AREAS)),
            seed=given.seed,
            first=given.first,
        )
        print("\n".join(results[name].failures[:20]), file=sys.stderr)
    print(fuzzing.table(results))
    return any(result.failures for result in results.values())


if __name__ == "__main__":
    raise SystemExit(main())
