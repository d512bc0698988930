"""The driver's side of a worker: a process that is asked for one thing at a time."""
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def environment(scratch: str, own: dict[str, str] | None = None) -> dict[str, str]:
    """What a process sees beside its own variables: all measure the processor, and find nothing compiled before."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false",
            "TORCHINDUCTOR_CACHE_DIR": scratch, **(own or {})}


def command(variant, job: str, precision: str, *options: str) -> list[str]:
    return [sys.executable, str(HERE / "worker.py"), variant.name, job, precision, *options]


class Process:
    """One variant of one job.

    Attributes:
        out: why it takes no further part, as `{"unavailable": ...}` or `{"failed": ...}`; `None` while it does.
    """

    def __init__(self, variant, job: str, precision: str, options: list[str], scratch: str):
        self.variant, self.out = variant, None
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command(variant, job, precision, *options), env=environment(scratch, variant.environment),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1)

    def send(self, do: str, **more) -> None:
        """Ask, without waiting for the answer."""
        if self.out is None:
            try:
                self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            except BrokenPipeError:
                pass  # it has ended; what it wrote is read in `receive`

    def receive(self, limit: float) -> dict:
        """The answer, or why there is none; after `limit` seconds the process is ended."""
        if self.out is not None:
            return self.out
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if ready else ""
        if line:
            answer = json.loads(line)
        elif ready:
            answer = {"failed": f"the process ended: {self._last_error()}"}
        else:
            answer = {"failed": f"took over {limit:g} s"}
        if "failed" in answer or "unavailable" in answer:
            self.out = answer
            self.close()
        return answer

    def ask(self, do: str, limit: float, **more) -> dict:
        """Send and receive."""
        self.send(do, **more)
        return self.receive(limit)

    def close(self) -> None:
        """End the process, if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def _last_error(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self.process.returncode}"


def timed(arguments: list[str], variables: dict[str, str], limit: float) -> dict:
    """Seconds from the start of a process to its end."""
    start = time.perf_counter()
    try:
        done = subprocess.run(arguments, env=variables, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"took over {limit:g} s"}
    seconds = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"failed": lines[-1] if lines else f"exit status {done.returncode}"}
    return {"seconds": seconds}
