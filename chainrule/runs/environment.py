"""What a run was made with: versions and machine. Nobody's name, no paths, no variables."""
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from chainrule.devices import describe_device, usable_cores

_PACKAGES = ("chainrule", "jax", "jaxlib", "optax", "numpy", "safetensors")


def describe_environment(device: str | None = None) -> dict[str, Any]:
    """Versions and machine as plain data.

    Example:
        >>> sorted(describe_environment())
        ['cores', 'device', 'host', 'machine', 'packages', 'python', 'system']
    """
    return {"packages": {name: _version(name) for name in _PACKAGES}, "python": platform.python_version(),
            "system": platform.platform(), "machine": platform.machine(), "host": socket.gethostname(),
            "cores": usable_cores(), "device": describe_device(device)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
