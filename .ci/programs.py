"""Run the programs that hold so far, each in a folder of its own, and say how long each took.

    python .ci/programs.py FOLDER_OF_PROGRAMS FOLDER_OF_DATA
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOLD = ("01_perceptron", "02_toy_1d", "03_mnist_by_hand", "04_mnist_mlp", "05_convnet", "06_convolution_operator",
        "07_functional_prelu", "08_custom_layer", "09_two_heads", "10_training_craft", "11_char_rnn", "12_time_series",
        "16_vgg16_inside", "17_population")


def main() -> int:
    """The number of programs that failed."""
    programs, data = (Path(argument).resolve() for argument in sys.argv[1:3])
    failed = 0
    for name in HOLD:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, programs / f"{name}.py"], cwd=folder, text=True, capture_output=True,
                                  env={**os.environ, "CHAINRULE_DATA": str(data)}, check=False)
        passed = done.returncode == 0
        failed += not passed
        print(f"{'passed' if passed else 'FAILED'}  {name}  {time.perf_counter() - start:.1f} s", flush=True)
        if not passed:
            print(done.stdout[-3000:], done.stderr[-3000:], flush=True)
    print(f"{len(HOLD) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
