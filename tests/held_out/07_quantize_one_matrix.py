"""Answers to exercise 07, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = -(-rows * columns // 8) * bits
    scales = rows * -(-columns // group) * 2
    return codes + scales
""",
            "packs over the ends of rows",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return rows * (columns // 8) * bits + rows * -(-columns // group) * 2
""",
            "rounds down: the last codes of a row are lost",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = rows * -(-columns * bits // 8)
    return codes + rows * -(-columns // group) * 2
""",
            "rounds bits to bytes, not codes to eights",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return rows * -(-columns // 8) * bits + rows * (columns // group) * 2
""",
            "an incomplete group has no scale",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return rows * -(-columns // 8) * bits + -(-rows * columns // group) * 2
""",
            "groups over the whole matrix",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return rows * -(-columns // 8) * bits + rows * -(-columns // group) * 16
""",
            "a wrong constant: 16 bytes a scale",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return rows * (columns // 8 + 1) * bits + rows * -(-columns // group) * 2
""",
            "adds one instead of rounding up",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    return columns * -(-rows // 8) * bits + columns * -(-rows // group) * 2
""",
            "swapped arguments: packs columns",
        ),
    ],
    "q2": [
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.abs().amax(1, keepdim=True)
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / 8)
    codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "forgets the sign of the largest",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = farthest / -8
    codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "forgotten step: a block of zeros",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -8)
    return ((blocks / scales).round() + 8).to(torch.uint8), scales
""",
            "forgotten step: code 16 is possible",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -8)
    return (blocks / scales + 8).clamp(0, 15).to(torch.uint8), scales
""",
            "cuts off instead of rounding",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -8)
    return ((blocks / scales).round() + 8).clamp(0, 15).long(), scales
""",
            "wrong type: 64 bits for each code",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.amax(1, keepdim=True)
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -8)
    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales
""",
            "the largest with its sign, not the farthest from zero",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.flatten()[blocks.abs().argmax()].expand(len(blocks), 1)
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -8)
    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales
""",
            "one scale for all blocks",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest / -7)
    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales
""",
            "wrong constant: seven steps",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = farthest / -8 if bool((farthest != 0).all()) else torch.ones_like(farthest)
    return ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8), scales
""",
            "one block of zeros makes all scales 1",
        ),
    ],
    "q3": [
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, ::2] | codes[:, 1::2] << 4
    return torch.cat([first, packed], dim=1)
""",
            "neighbors share a byte",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, 16:] | codes[:, :16] << 4
    return torch.cat([first, packed], dim=1)
""",
            "swapped halves",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, :16] | codes[:, 16:] << 8
    return torch.cat([first, packed], dim=1)
""",
            "moves by eight bits: out of the byte",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, :16] | codes[:, 16:]
    return torch.cat([first, packed], dim=1)
""",
            "forgotten step: nothing is moved up",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, :16].int() | codes[:, 16:].int() << 4
    return torch.cat([first, packed], dim=1)
""",
            "wrong type: 32 bits for each byte",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, :16] | codes[:, 16:] << 4
    return torch.cat([packed, first], dim=1)
""",
            "the scale behind the codes",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.float().view(torch.uint8)
    packed = codes[:, :16] | codes[:, 16:] << 4
    return torch.cat([first, packed], dim=1)
""",
            "the scale in 32 bits",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    packed = codes[:, :16] | codes[:, 16:].flip(1) << 4
    return torch.cat([first, packed], dim=1)
""",
            "the second half in reverse order",
        ),
    ],
    "q4": [
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return (codes - 8) * scales
""",
            "a byte knows no numbers below 0",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1)
    return (codes.float() - 8) * scales
""",
            "puts the halves of a byte beside each other",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed >> 4, packed & 15], dim=1)
    return (codes.float() - 8) * scales
""",
            "swapped halves",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed & 240], dim=1)
    return (codes.float() - 8) * scales
""",
            "the upper half isn't moved down",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return codes.float() * scales
""",
            "forgotten step: the middle isn't taken away",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return (codes.half() - 8) * scales
""",
            "wrong type: 16 bits",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return codes.float() * scales - 8
""",
            "wrong order: takes 8 scales-free steps away at the end",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return (codes.float() - 8) * scales[0]
""",
            "one scale for all blocks",
        ),
    ],
    "q5": [
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.abs().sum(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "absolute instead of squared errors",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.sum(-1).square())
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "signed errors cancel out",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum().expand(change.shape[:2]))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "one shrink for the whole matrix",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum((1, 2))[:, None].expand(change.shape[:2]))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "one shrink for each row",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum(-1))
    best = torch.stack(errors).argmax(0)
    return torch.tensor(shrinks)[best]
""",
            "the worst instead of the best",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.abs().amax(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "the largest error of a group instead of their squares",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum(-1))
    return torch.stack(errors).argmin(0)
""",
            "returns places in the list, not the shrinks",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for _ in shrinks:
        change = to_groups(quantize(weight, grid).dequantize() - weight, grid)
        errors.append(change.square().sum(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "ignores an argument: the ruler never shrinks",
        ),
    ],
    "q6": [
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if grid.bits <= budget]
    return min(fitting, key=lambda grid: error_of(weight, grid), default=None)
""",
            "forgotten step: scales aren't counted",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() < budget]
    return min(fitting, key=lambda grid: error_of(weight, grid), default=None)
""",
            "off by one: exactly the budget is too much",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return min(fitting, key=lambda grid: error_of(weight, grid), default=None)
""",
            "bytes for bits",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return min(fitting, key=lambda grid: error_of(weight, grid))
""",
            "crashes where nothing fits",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return max(fitting, key=lambda grid: grid.nbytes(*weight.shape), default=None)
""",
            "takes the largest that fits, not the most accurate",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*W.shape) / W.numel() <= budget]
    return min(fitting, key=lambda grid: error_of(W, grid), default=None)
""",
            "reads a global instead of its argument",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return min(fitting, key=lambda grid: grid.nbytes(*weight.shape), default=None)
""",
            "takes the smallest",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return min((error_of(weight, grid) for grid in fitting), default=None)
""",
            "wrong type: the error of the best",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if round(8 * grid.nbytes(*weight.shape) / weight.numel()) <= budget]
    return min(fitting, key=lambda grid: error_of(weight, grid), default=None)
""",
            "rounds bits to whole ones",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    total = 0
    for _ in range(rows):
        total += sum(bits for _ in range(0, columns, 8))
        total += sum(2 for _ in range(0, columns, group))
    return total
""",
            "counts in a loop",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    eights, groups = (columns + 7) // 8, (columns + group - 1) // group
    return rows * (eights * bits + 2 * groups)
""",
            "rounds up by adding first",
        ),
    ],
    "q2": [
        Answer(
            """
def q4_0(blocks):
    codes, scales = torch.zeros(blocks.shape, dtype=torch.uint8), torch.ones(len(blocks), 1)
    for i, block in enumerate(blocks):
        farthest = max(block.tolist(), key=abs)
        if farthest:
            scales[i] = farthest / -8
        codes[i] = (block / scales[i] + 8).round().clamp(max=15)
    return codes, scales
""",
            "block by block",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scales = (-farthest / 8).masked_fill(farthest == 0, 1.0)
    return (blocks / scales + 8.5).floor().clamp(0, 15).byte(), scales
""",
            "masks the zeros, rounds by half a step",
        ),
    ],
    "q3": [
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)
    low, high = codes.chunk(2, dim=1)
    return torch.cat([first, low + 16 * high], dim=1)
""",
            "adds sixteen times the second half",
        ),
        Answer(
            """
def pack(codes, scales):
    import struct

    rows = []
    for row, scale in zip(codes.tolist(), scales.flatten().tolist()):
        both = [row[i] ^ (row[i + 16] << 4) for i in range(16)]
        rows.append(list(struct.pack("<e16B", scale, *both)))
    return torch.tensor(rows, dtype=torch.uint8)
""",
            "byte by byte",
        ),
    ],
    "q4": [
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:].long()
    marks = torch.arange(-8, 8, dtype=torch.float32)
    return torch.cat([marks[packed % 16], marks[packed // 16]], dim=1) * scales
""",
            "looks the weights up in a table of sixteen",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.hstack([packed.bitwise_and(15), packed.bitwise_right_shift(4)]).to(torch.int8)
    return scales * codes.sub(8)
""",
            "signed bytes",
        ),
    ],
    "q5": [
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    best = lowest = None
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        error = change.norm(dim=-1)
        if lowest is None:
            best, lowest = torch.full(error.shape, float(shrink)), error
        best = torch.where(error < lowest, torch.tensor(float(shrink)), best)
        lowest = torch.minimum(error, lowest)
    return best
""",
            "keeps the best so far",
        ),
    ],
    "q6": [
        Answer(
            """
def choose(weight, grids, budget):
    rows, columns = weight.shape
    for grid in sorted(grids, key=lambda grid: float(error_of(weight, grid))):
        if 8 * grid.nbytes(rows, columns) <= budget * rows * columns:
            return grid
    return None
""",
            "from the most accurate downwards, in whole bytes",
        ),
    ],
}
