"""Kills training, search, export, feature caching and report at random moments, many times, and says what was left.

Every artefact has to verify or to be refused, and what was gone on with has to equal what was never interrupted.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[2]))

from fork_client import ForkServer
from killing import ROUNDS


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="of each kind (30)")
    parser.add_argument("--of", nargs="+", choices=ROUNDS, default=list(ROUNDS), metavar="KIND", help=", ".join(ROUNDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    args = parser.parse_args()
    for name in args.of:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="keras-zoo-faults-") as folder:
            server = ForkServer(Path(folder) / "log")
            try:
                rounds = ROUNDS[name](server, Path(folder) / "work", random.Random(args.seed))
                rounds.kill(args.rounds)
            finally:
                server.close()
        seen = ", ".join(f"{count} {word}" for word, count in rounds.seen.items())
        print(f"{name}: {args.rounds} rounds in {time.monotonic() - started:.0f} s: {seen}", flush=True)


if __name__ == "__main__":
    main()
