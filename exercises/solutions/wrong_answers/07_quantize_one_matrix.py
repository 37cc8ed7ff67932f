"""Typical wrong answers to exercise 07, and a part of the message that each must get."""

BYTES = "def matrix_bytes(rows, columns, bits, group):\n"
CODES = "    codes = rows * -(-columns // 8) * bits\n"
Q4_0 = (
    "def q4_0(blocks):\n"
    "    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))\n"
    "    scales = torch.where(farthest == 0, 1, farthest / -8)\n"
)
PACK = "def pack(codes, scales):\n    first = scales.half().view(torch.uint8)\n"
UNPACK = "def unpack(raw):\n    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]\n"
SHRINK = (
    "def best_shrink(weight, grid, shrinks):\n"
    "    changes = [to_groups(quantize(weight, grid, s).dequantize() - weight, grid) for s in shrinks]\n"
)
PICK = "    return torch.tensor(shrinks)[torch.stack(errors).argmin(0)]\n"

WRONG = {
    "q1": [
        (BYTES + "    return rows * columns * bits / 8 + rows * columns / group * 2", "// belongs"),
        (BYTES + CODES + "    return codes", "Where are the scales"),
        (BYTES + CODES + "    return codes + -(-columns // group) * 2", "scales of its own"),
        (BYTES + CODES + "    return codes + rows * -(-columns // group) * 4", "How many bytes are 16 bits"),
        (BYTES + "    return rows * columns + rows * -(-columns // group) * 2", "How many codes"),
        (BYTES + CODES + "    return codes + rows * (columns // group) * 2", "Has it a scale, too"),
        (BYTES + "    return rows * columns * bits // 8 + rows * -(-columns // group) * 2", "a full eight"),
    ],
    "q2": [
        (
            "def q4_0(blocks):\n"
            "    farthest = blocks.abs().amax(1, keepdim=True)\n"
            "    scales = torch.where(farthest == 0, 1, farthest / 8)\n"
            "    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales",
            "sign of the farthest",
        ),
        (
            Q4_0.replace("-8", "-7.5")
            + "    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales",
            "divided by −8",
        ),
        (Q4_0 + "    return ((blocks / scales).round() + 8).to(torch.uint8), scales", "clamped to 0"),
        (Q4_0 + "    return (blocks / scales + 8).clamp(0, 15).to(torch.uint8), scales", "before it becomes a byte"),
        (Q4_0 + "    return ((blocks / scales).round() + 8).clamp(0, 15), scales", "Codes are bytes"),
        (
            Q4_0.replace("torch.where(farthest == 0, 1, farthest / -8)", "farthest / -8")
            + "    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales",
            "0 divided by 0",
        ),
    ],
    "q3": [
        (PACK + "    return torch.cat([first, codes], dim=1)", "Do two codes share"),
        (PACK + "    return torch.cat([first, codes[:, 0::2] | codes[:, 1::2] << 4], dim=1)", "with its neighbor"),
        (PACK + "    return torch.cat([first, codes[:, 16:] | codes[:, :16] << 4], dim=1)", "are swapped"),
        (PACK + "    return torch.cat([first, codes[:, :16] | codes[:, 16:]], dim=1)", "run into each other"),
        (PACK + "    return torch.cat([first, codes[:, :16] | codes[:, 16:].flip(1) << 4], dim=1)", "i and i + 16"),
    ],
    "q4": [
        (UNPACK + "    return ((packed & 15).float() - 8) * scales", "two of them"),
        (UNPACK + "    return (torch.cat([packed & 15, packed >> 4], dim=1) - 8) * scales", "from floats"),
        (UNPACK + "    return torch.cat([packed & 15, packed >> 4], dim=1).float() * scales", "Is 8 taken away?"),
        (
            UNPACK + "    return (torch.cat([packed >> 4, packed & 15], dim=1).float() - 8) * scales",
            "two parts swapped",
        ),
        (UNPACK + "    return (torch.cat([packed & 15, packed & 15], dim=1).float() - 8) * scales", "reach the upper"),
        (
            UNPACK + "    return (torch.stack([packed & 15, packed >> 4], dim=2).flatten(1).float() - 8) * scales",
            "take turns",
        ),
        (
            UNPACK + "    return (torch.cat([packed & 15, packed >> 4], dim=1).float() - 8) * scales.abs()",
            "its own scale",
        ),
    ],
    "q5": [
        (SHRINK + "    errors = [change.square().sum() for change in changes]\n" + PICK, "Over which axis"),
        (SHRINK + "    errors = [change.abs().sum(-1) for change in changes]\n" + PICK, "sum of absolute"),
        (SHRINK + "    errors = [change.abs().amax(-1) for change in changes]\n" + PICK, "largest error of a group"),
        (
            SHRINK
            + "    errors = [change.square().sum(-1) for change in changes]\n"
            + PICK.replace("argmin", "argmax"),
            "lowest error that you keep",
        ),
        (
            SHRINK
            + "    errors = [change.square().sum((0, 2)).expand(change.shape[:2]) for change in changes]\n"
            + PICK,
            "judged alone",
        ),
    ],
    "q6": [
        (
            "def choose(weight, grids, budget):\n    fitting = [grid for grid in grids if grid.bits <= budget]\n"
            "    return min(fitting, key=lambda grid: relative_error(weight, quantize(weight, grid)), default=None)",
            "Are scales counted, too",
        ),
        (
            "def choose(weight, grids, budget):\n"
            "    fitting = [grid for grid in grids if grid.group != 16 and grid.bits / 8 <= budget]\n"
            "    return min(fitting, key=lambda grid: relative_error(weight, quantize(weight, grid)), default=None)",
            "bits a weight?",
        ),
        (
            "def choose(weight, grids, budget):\n"
            "    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() < budget]\n"
            "    return min(fitting, key=lambda grid: relative_error(weight, quantize(weight, grid)), default=None)",
            "< or <=",
        ),
        (
            "def choose(weight, grids, budget):\n"
            "    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]\n"
            "    return max(fitting, key=lambda grid: grid.nbytes(*weight.shape), default=None)",
            "errs least",
        ),
        (
            "def choose(weight, grids, budget):\n"
            "    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]\n"
            "    return min(fitting, key=lambda grid: relative_error(weight, quantize(weight, grid)))",
            "with ValueError",
        ),
    ],
}
