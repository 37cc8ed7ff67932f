"""Which device to use, and which number formats it really computes in."""

from __future__ import annotations

from functools import cache

import torch

from utils.errors import CourseError


def pick_device(wish: str | None = None) -> torch.device:
    """Return the wished device, or the best there is: CUDA, then Apple's MPS, then the CPU."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wish is None:
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind = str(wish).partition(":")[0]
    if kind not in ("cuda", "mps", "cpu") or (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        there = [name for name, here in (("cuda", cuda), ("mps", mps), ("cpu", True)) if here]
        raise CourseError(f"The device {wish!r} is not here, expected one of {', '.join(there)}.")
    try:
        return torch.device(wish)
    except RuntimeError as error:
        raise CourseError(f"The device {wish!r} is unknown, expected one like {kind} or {kind}:0.") from error


def device_name(device: torch.device) -> str:
    """Return the maker's name of a GPU, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def has_real_bf16(device_type: str) -> bool:
    """Say whether bfloat16 products run in hardware; a T4 and an older CPU only pretend, and crawl."""
    if device_type == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    if device_type == "mps":
        return False
    able = torch.cpu.get_capabilities()
    if torch.backends.cpu.get_cpu_capability() == "AVX2":  # the processor can't do more, or was told not to
        return False
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@cache
def has_amx() -> bool:
    """Say whether this CPU multiplies whole tiles of bfloat16, which also reads 16-bit weights fastest."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def training_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for matrix products in training: bfloat16 where real, float16 on other CUDA, else float32."""
    if has_real_bf16(device.type):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


def small_dtype(device: torch.device) -> torch.dtype:
    """Return the 16-bit dtype in which this device reads weights fastest."""
    return torch.bfloat16 if has_real_bf16(device.type) else torch.float16


def parse_dtype(name: str) -> torch.dtype:
    """Turn float32, bfloat16 or float16 into PyTorch's dtype."""
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in dtypes:
        raise CourseError(f"dtype {name!r} is unknown, expected one of {', '.join(dtypes)}.")
    return dtypes[name]
