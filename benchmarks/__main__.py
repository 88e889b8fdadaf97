"""Run every benchmark, or those named, one after the other: python benchmarks [names]."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = sorted(file.stem for file in HERE.glob("*.py") if file.stem not in ("__main__", "common", "pupils"))


def main() -> int:
    names = sys.argv[1:] or SCRIPTS
    if unknown := [name for name in names if name not in SCRIPTS]:
        raise SystemExit(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(SCRIPTS)}.")
    # Each in a process of its own: what one leaves in memory must not slow the next.
    missed = [name for name in names if subprocess.run([sys.executable, HERE / f"{name}.py"]).returncode]
    print(f"A bar was missed, or the run failed, in: {', '.join(missed)}" if missed else "All bars are met.")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
