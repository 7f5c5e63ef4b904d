"""Sessions of onnxruntime, opened in one way for our networks and for external ones."""

from __future__ import annotations

import os
from typing import Any, Final

# Since 1.32, onnxruntime sends usage data to Microsoft and stores it in ~/.cache and the temporary
# folder. It reads this variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

CUDA_PROVIDER: Final = "CUDAExecutionProvider"
#: Only fatal errors: its exceptions say the rest.
_FATAL_ONLY: Final = 4


def open_session(
    model: bytes, *, threads: int = 1, cuda_device: int | None = None, arena: bool = False
) -> Any:
    """A session over an ONNX model; its `run` may be called from several threads.

    Args:
        threads: that one call may use; they sleep between calls.
        arena: memory is kept between calls: as much as any has needed, so for inputs of one size.
        cuda_device: number of a CUDA device to run on; None: the CPU.

    Raises:
        Exception: onnxruntime cannot load the model; its errors have no common base class.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.enable_cpu_mem_arena = arena
    # Else bytes that look like onnxruntime's own format would be read as that, unchecked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if cuda_device is not None:
        providers.insert(0, (CUDA_PROVIDER, {"device_id": cuda_device}))
    return onnxruntime.InferenceSession(model, options, providers=providers)


def onnx_runs_on_cuda() -> bool:
    """Whether the installed onnxruntime supports CUDA."""
    return CUDA_PROVIDER in onnxruntime.get_available_providers()
