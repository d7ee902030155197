"""`diffsound serve` against its own OpenAPI description, by schemathesis with all its checks (schemathesis.toml).

    python tests/load/serve_description.py --model my-model --examples 100

The exit status is 1 if an answer is not as described, or the server does not end as it should.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from server import serving


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="as `diffsound serve` takes it (default: tiny)")
    parser.add_argument("--examples", type=int, default=100, metavar="N", help="of each operation (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="other numbers, other examples (default: 1)")
    options = parser.parse_args()
    with serving(options.model) as server:
        told = subprocess.run([
            Path(sys.executable).with_name("schemathesis"), "--config-file",
            Path(__file__).with_name("schemathesis.toml"),
            "run", f"{server.address}/openapi.json", "--max-examples", str(options.examples), "--seed",
            str(options.seed), "--no-color"], check=False)
    for fault in server.faults:
        print(fault, file=sys.stderr)
    return 1 if told.returncode or server.faults else 0


if __name__ == "__main__":
    sys.exit(main())
