"""Device, dtype and memory: CUDA, MPS or CPU, where bfloat16 is real, memory limits, and the fastest matmul on a CPU.

Which device to use, which number formats it really computes in, and how much memory there is to use. Lesson 00 asks it
once, lesson 09 lives within what it says.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.config import format_bytes
from utils.errors import CourseError

AnyModule = TypeVar("AnyModule", bound=nn.Module)


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
    """Say whether bfloat16 matmuls run in hardware; a T4 and an older CPU only pretend, and crawl."""
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
    """Return the dtype for matmuls in training: bfloat16 where real, float16 on other CUDA, else float32."""
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


def machine_memory() -> dict[str, int]:
    """Return the bytes of memory of this machine and, where there is one, of its GPU."""
    memory = {"this machine": psutil.virtual_memory().total}
    if torch.cuda.is_available():
        memory["its GPU"] = torch.cuda.get_device_properties(0).total_memory
    return memory


def describe_machine() -> dict[str, str]:
    """Return what a learner should know about this machine, by name."""
    device, memory = pick_device(), psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "processor": f"{usable_cores()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "memory": f"{format_bytes(memory.total)}, {format_bytes(memory.available)} available",
        "device": device_name(device),
        "bfloat16": "in hardware" if has_real_bf16(device.type) else "only imitated: we use other formats",
    }


def usable_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def cpu_memory_cap(more: int) -> Iterator[None]:
    """Within a with block, let this process take at most `more` bytes beyond what it has; Linux keeps it to that."""
    if sys.platform != "linux":
        raise CourseError(
            f"{platform.system()} holds no process to a limit of its memory. Use the caps of plan_placement, which "
            "are kept by arithmetic, or run this on Linux, in WSL or on Colab."
        )
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    now = _status_bytes("VmData")  # what this process has asked Linux for, used or not, mapped files not
    if hard != resource.RLIM_INFINITY and now + more > hard:
        raise CourseError(
            f"This process may have {format_bytes(hard)} in all, {format_bytes(now + more)} were asked for."
        )
    kept: list[Tensor] = []
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (now, hard))
        kept += _take_what_is_free()
        resource.setrlimit(resource.RLIMIT_DATA, (now + more, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        kept.clear()


def _take_what_is_free(least: int = 2**20) -> list[Tensor]:
    """Take, untouched, what the C library keeps of freed memory: handed out again, it would count for no limit."""
    taken, size = [], 2**32
    while size >= least:
        try:
            taken.append(torch.empty(size, dtype=torch.uint8))
        except RuntimeError:
            size //= 2
    return taken


@contextmanager
def gpu_memory_cap(most: int) -> Iterator[None]:
    """Within a with block, let PyTorch take at most `most` bytes of the GPU."""
    if not torch.cuda.is_available():
        raise CourseError("There is no CUDA GPU here, so there is no memory of a GPU to cap.")
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if not 0 < most <= total:
        raise CourseError(f"A cap of {most:,} bytes was asked for, this GPU has {total:,}.")
    torch.cuda.set_per_process_memory_fraction(most / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


class Embedding(nn.Embedding):
    """An embedding that draws nothing on the meta device, where weights get their shape before a file fills them.

    PyTorch's own one would import its compiler for that: 83 MB, and more time than nano takes to load.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


def is_imitated(x: Tensor) -> bool:
    """Say whether this CPU has no matmul in the 16-bit dtype of x, and only imitates one."""
    if x.device.type != "cpu" or x.dtype not in (torch.float16, torch.bfloat16):
        return False
    return x.dtype == torch.float16 or not has_real_bf16("cpu")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the matmul x (..., in) · weightᵀ (in, out) + bias, in float32 where 16 bits are only imitated.

    16 rows with 16-bit weights take a sixth to an eighth of the time so; a single row only reads the weights, and
    stays as it is: widening them first would double its time.
    """
    if x.device.type == "cpu" and x.numel() == x.shape[-1]:  # one row, a new token
        if x.dtype == torch.bfloat16 and has_amx():  # there mv reads 33–44 GB/s, F.linear 14–28
            y = torch.mv(weight, x.reshape(-1)).view(*x.shape[:-1], len(weight))
            return y if bias is None else y + bias
    elif is_imitated(x):
        return F.linear(x.float(), weight.float(), None if bias is None else bias.float()).to(x.dtype)
    return F.linear(x, weight, bias)


class Linear16(nn.Linear):
    """A linear layer with 16-bit weights on a CPU."""

    def forward(self, x: Tensor) -> Tensor:  # (..., in) → (..., out)
        return linear(x, self.weight, self.bias)


def attend(q: Tensor, k: Tensor, v: Tensor, **how) -> Tensor:
    """Return scaled dot-product attention (batch, head, time, head width), in float32 where that is faster.

    Without AMX it is, up to 512 tokens in bfloat16: 1.6 times there and back at 256 tokens, 1.04 at 512.
    """
    short = q.device.type == "cpu" and q.dtype == torch.bfloat16 and not has_amx() and q.shape[-2] <= 512
    if short or is_imitated(q) or k.dtype != q.dtype:
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), **how).to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, **how)


def prepare_for_speed(model: AnyModule) -> AnyModule:
    """Swap the layers of a model for those that this CPU computes fastest, in place; weights and results stay.

    Loading, training and `for_generation` call it; on a GPU PyTorch's first way is the fastest, and nothing changes.
    """
    narrow, parts = {torch.float16, torch.bfloat16}, cast(Iterator[Any], model.modules())
    if next(model.parameters()).device.type == "cpu":
        for module in parts:
            if type(module) is nn.Linear and module.weight.dtype in narrow:
                module.__class__ = Linear16
            elif hasattr(module, "attend"):
                vars(module)["attend"] = attend
            elif hasattr(module, "cache_dtype") and module.get_parameter("final_norm.weight").dtype in narrow:
                vars(module)["cache_dtype"] = torch.float32  # looking back at 16 bits takes 3 to 9 times as long
    return model


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held at any time."""
    if sys.platform == "linux":
        return _status_bytes("VmHWM")
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _status_bytes(name: str) -> int:
    """Return a figure of this process in Linux's own list."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
