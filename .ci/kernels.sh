#!/usr/bin/env bash
# The kernels under sanitizers, and an installation where there is no compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

for sanitizer in address,undefined thread; do
  kept=build/sanitized/${sanitizer/,/-}  # compiled again where a source has changed
  cmake -S . -B "$kept" -DCHAINRULE_SANITIZE=$sanitizer -DPython_EXECUTABLE="$python" >/dev/null
  cmake --build "$kept" --target check --parallel >"$built/log" || { cat "$built/log"; exit 1; }
  "$kept/check" 30
done

CXX=/nowhere CC=/nowhere "$python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  --config-settings=build-dir="$built/none" --target "$built/installed" .
"$python" - "$built/installed" <<'PYTHON'
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirect" not in type(finder).__name__]
sys.path.insert(0, sys.argv[1])
import numpy as np

import chainrule as cr
from chainrule.kernels import report

if not cr.__file__.startswith(sys.argv[1]) or report().available:
    sys.exit(f"expected an installation without kernels; got {cr.__file__}, {report()}")
model = cr.Sequential([cr.Input((8, 8, 1)), cr.layers.Conv2D(4, 3, activation="relu"), cr.layers.MaxPooling2D(),
                       cr.layers.Flatten(), cr.layers.Dense(1)])
model.compile("adam", "mse")
losses = model.fit(np.ones((16, 8, 8, 1)), np.ones((16, 1)), epochs=5, verbose=0).history["loss"]
print(f"Without a compiler: {report().reason}. A network learns all the same: {losses[0]:.3f} to {losses[-1]:.3f}.")
PYTHON
