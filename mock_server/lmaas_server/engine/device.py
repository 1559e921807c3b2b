"""Where tensors are computed: one device for each process, as torch's threads are. Knows no model.

    cpu        the default
    cuda       the first GPU; cuda:1 the second
    auto       the first GPU where there is one, else the processor

Networks and the rows that go into them lie on the device. A bundle's tensors, what `outputs_of` returns and all that
leaves the engine lie on the CPU: what was trained on a GPU is served without one. torch is imported when a device is
first needed, and CUDA is begun then and not before, since a process that has begun it must not be forked.
"""

from __future__ import annotations

import os
import sys

from lmaas_server.errors import ConflictError, ServiceError

CPU = "cpu"
_AUTO = "auto"
_DETERMINISTIC_CUBLAS = ":4096:8"
_device = CPU


def device() -> str:
    """Return the name of the device of this process, as torch takes it."""
    return _device


def use(name: str) -> None:
    """Compute on a device from now on.

    On a GPU torch is held to kernels that repeat to the bit, as far as it has them, and says where it has none.

    Raises:
        ConflictError: `device_missing`: it is not there.
    """
    global _device  # noqa: PLW0603 - a property of the process, as torch.set_num_threads is
    _device = found(name)
    if _device != CPU:
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _DETERMINISTIC_CUBLAS)
        torch.use_deterministic_algorithms(mode=True, warn_only=True)


def found(name: str) -> str:
    """Return the device that a setting names: `cpu`, or `cuda:` with a number.

    Raises:
        ConflictError: `device_missing`: it is not there.
    """
    if name == CPU:
        return CPU
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == _AUTO:
        return "cuda:0" if count else CPU
    number = int(name.partition(":")[2] or 0)
    if number < count:
        return f"cuda:{number}"
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is built without CUDA; install a build with it"
    elif not count:
        why = "torch finds no GPU; see whether its driver is installed and CUDA_VISIBLE_DEVICES leaves one"
    else:
        why = f"there are {count}: cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}; name one of them"
    raise ConflictError(f"There is no device {name}: {why}, or use cpu.", code="device_missing", param="device")


if __name__ == "__main__":  # `python -m lmaas_server.engine.device cuda:1`: what it is, or why it is not there
    try:
        sys.stdout.write(f"{found(sys.argv[1])}\n")
    except ServiceError as exc:
        sys.exit(exc.message)
