"""Devices of torch: what one is called, and which type of 16 bits it multiplies fast."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"CPU ({model}), {torch.get_num_threads()} threads"


def mixed_type(device: torch.device) -> torch.dtype | None:
    """The 16-bit type that a device multiplies fast, or None."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    tiles, vectors = (getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in ("amx_tile", "avx512_bf16"))
    # Without tiles, bfloat16 takes Intel's CPUs one and a half times as long as FP32, AMD's half as long.
    return torch.bfloat16 if tiles or (vectors and "Intel" not in device_name(device)) else None
