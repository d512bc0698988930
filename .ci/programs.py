"""Run the programs that hold so far, two at a time, each in a folder of its own, and say how long each took.

    python .ci/programs.py FOLDER_OF_PROGRAMS FOLDER_OF_DATA
"""
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOLD = ("01_perceptron", "02_toy_1d", "03_mnist_by_hand", "04_mnist_mlp", "05_convnet", "06_convolution_operator",
        "07_functional_prelu", "08_custom_layer", "09_two_heads", "10_training_craft", "11_char_rnn", "12_time_series",
        "16_vgg16_inside", "17_population")


def passes(program: Path, data: Path) -> bool:
    """Whether a program comes to its end; what it said where it does not."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, program], cwd=folder, text=True, capture_output=True,
                              env={**os.environ, "CHAINRULE_DATA": str(data)}, check=False)
    passed = done.returncode == 0
    said = "" if passed else f"\n{done.stdout[-3000:]} {done.stderr[-3000:]}"
    print(f"{'passed' if passed else 'FAILED'}  {program.stem}  {time.perf_counter() - start:.1f} s{said}", flush=True)
    return passed


def main() -> int:
    """The number of programs that failed."""
    programs, data = (Path(argument).resolve() for argument in sys.argv[1:3])
    with ThreadPoolExecutor(2) as workers:
        passed = list(workers.map(lambda name: passes(programs / f"{name}.py", data), HOLD))
    print(f"{sum(passed)} passed, {len(HOLD) - sum(passed)} failed")
    return len(HOLD) - sum(passed)


if __name__ == "__main__":
    sys.exit(main())
