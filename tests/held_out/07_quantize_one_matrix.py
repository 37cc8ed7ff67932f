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
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = -(-rows * columns // 8) * bits
    scales = rows * -(-columns // group) * 2
    return codes + scales
""",
            "packs codes across rows, so the last eight of each row is not filled up",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = rows * -(-columns * bits // 8)
    scales = rows * -(-columns // group) * 2
    return codes + scales
""",
            "rounds each row up to whole bytes and not to a full eight of codes",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = rows * -(-columns // 8) * bits
    scales = rows * max(columns // group, 1) * 2
    return codes + scales
""",
            "forgets the scale of the last, incomplete group",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    codes = rows * -(-columns // 8) * bits
    scales = -(-rows * columns // group) * 2
    return codes + scales
""",
            "lets groups run on from one row into the next",
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
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    scales = torch.where(farthest == 0, torch.ones_like(farthest), farthest.abs() / 8)
    codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "takes the scale without its sign, right only where the farthest weight is negative",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    scales = farthest / -8
    codes = (torch.nan_to_num(blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "a block of zeros gets the codes 8 but the scale 0",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    scales = farthest / -8
    scales = torch.where(scales == 0, torch.ones_like(scales), scales)
    codes = ((blocks / scales).round() + 8).to(torch.uint8)
    return codes, scales
""",
            "no clamp: a weight just as far out on the other side gets the code 16",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    scales = farthest / -8
    scales[scales.abs() < 1e-5] = 1.0
    codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "takes a block of very small weights for a block of zeros",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    empty = blocks.sum(1, keepdim=True) == 0
    scales = torch.where(empty, torch.ones_like(farthest), farthest / -8)
    codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)
    return codes, scales
""",
            "takes a block whose weights add up to zero for a block of zeros",
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
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)  # (blocks, 2)
    packed = codes[:, 0::2] | codes[:, 1::2] << 4
    return torch.cat([first, packed], dim=1)
""",
            "puts neighbors into one byte in place of codes 0 and 16",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)  # (blocks, 2)
    lower, upper = codes[:, :16], codes[:, 16:]
    upper <<= 4
    packed = lower | upper
    return torch.cat([first, packed], dim=1)
""",
            "shifts the upper codes in place and so changes what it was handed",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)  # (blocks, 2)
    packed = codes[:, :16].int() + 16 * codes[:, 16:].int()
    return torch.cat([first, packed], dim=1)
""",
            "right numbers as int32 and not as bytes",
        ),
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)  # (blocks, 2)
    lower, upper = codes.flatten().chunk(2)
    packed = (lower | upper << 4).view(len(codes), 16)
    return torch.cat([first, packed], dim=1)
""",
            "halves all blocks together instead of each block, right for one block only",
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
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return ((codes.half() - 8) * scales).float()
""",
            "multiplies in 16 bits and converts afterwards, so weights are rounded once more",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return (codes.float() - 8) * scales[0]
""",
            "uses the scale of the first block for all blocks",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    packed = packed.view(torch.int8)  # a type that knows numbers below 0
    codes = torch.cat([packed & 15, packed >> 4], dim=1)
    return (codes - 8) * scales
""",
            "shifts signed bytes, so upper codes from 8 on become negative",
        ),
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:]
    lower = packed & 15
    packed >>= 4
    codes = torch.cat([lower, packed], dim=1)
    return (codes.float() - 8) * scales
""",
            "shifts the bytes in place and so changes what it was handed",
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
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []  # of each shrink, (rows, groups)
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.abs().sum(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(shrinks)[best]
""",
            "adds up absolute errors and not squared ones",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []  # of each shrink, (rows, groups)
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum(-1))
    best = torch.stack(errors).argmin(0)
    return torch.tensor(sorted(shrinks))[best]
""",
            "looks the choice up in the sorted shrinks, wrong where they are not given in rising order",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    change = to_groups(quantize(weight, grid, 1.0).dequantize() - weight, grid)
    lowest = change.square().sum(-1)
    best = torch.ones(lowest.shape)
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        error = change.square().sum(-1)
        better = error < lowest
        lowest = torch.where(better, error, lowest)
        best[better] = shrink
    return best
""",
            "begins with shrink 1 and returns it even if it is none of those to choose from",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    errors = []
    for shrink in shrinks:
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        errors.append(change.square().sum((1, 2)))
    best = torch.stack(errors).argmin(0)
    best = best[:, None].expand(-1, change.shape[1])
    return torch.tensor(shrinks)[best]
""",
            "chooses one shrink for each row and gives it to all of its groups",
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
        Answer(
            """
def choose(weight, grids, budget):
    best = min(grids, key=lambda grid: error_of(weight, grid), default=None)
    if best is None or 8 * best.nbytes(*weight.shape) / weight.numel() > budget:
        return None
    return best
""",
            "takes the best of all first and gives up if that one does not fit",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*weight.shape) / weight.numel() <= budget]
    return max(fitting, key=lambda grid: grid.nbytes(*weight.shape), default=None)
""",
            "takes the largest grid that fits and believes that it has the lowest error",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    fitting = [grid for grid in grids if 8 * grid.nbytes(*W.shape) / W.numel() <= budget]
    return min(fitting, key=lambda grid: error_of(W, grid), default=None)
""",
            "judges by the notebook's W and not by the matrix that it is given",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    columns, rows = weight.shape
    fitting = [grid for grid in grids if 8 * grid.nbytes(rows, columns) / weight.numel() <= budget]
    return min(fitting, key=lambda grid: error_of(weight, grid), default=None)
""",
            "rows and columns exchanged when bytes are counted, which a square matrix does not show",
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
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    row = 0
    for _ in range(0, columns, 8):
        row += bits
    for _ in range(0, columns, group):
        row += 2
    return rows * row
""",
            "counts the eights and the groups of one row in loops",
        ),
        Answer(
            """
def matrix_bytes(rows, columns, bits, group):
    eights, more = divmod(columns, 8)
    groups, left = divmod(columns, group)
    codes = rows * bits * (eights + (more > 0))
    scales = 2 * rows * (groups + (left > 0))
    return codes + scales
""",
            "divmod, and one more where something is left",
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
        Answer(
            """
import numpy as np


def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    far = farthest.detach().numpy()
    scales = np.where(far == 0, np.ones_like(far), -far / 8)
    codes = np.clip(np.rint(blocks.detach().numpy() / scales), -8, 7) + 8
    return torch.from_numpy(codes.astype(np.uint8)), torch.from_numpy(scales)
""",
            "numpy, clipped to -8 and 7 before 8 is added",
        ),
        Answer(
            """
def q4_0(blocks):
    farthest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))  # (blocks, 1), with its sign
    codes = torch.full(blocks.shape, 8, dtype=torch.uint8)
    scales = torch.ones_like(farthest)
    for i in range(len(blocks)):
        if farthest[i, 0] == 0:
            continue  # codes are 8 and the scale is 1 already
        scales[i] = farthest[i] / -8
        steps = torch.round(blocks[i] / scales[i]).to(torch.int16) + 8
        steps[steps == 16] = 15
        codes[i] = steps.to(torch.uint8)
    return codes, scales
""",
            "block by block, with a block of zeros as what stands there before",
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
        Answer(
            """
def pack(codes, scales):
    first = scales.half().view(torch.uint8)  # (blocks, 2)
    halves = codes.reshape(-1, 2, 16).to(torch.int32)
    worth = torch.tensor([1, 16], dtype=torch.int32).view(1, 2, 1)
    packed = (halves * worth).sum(1).to(torch.uint8)
    return torch.cat([first, packed], dim=1)
""",
            "a weighted sum of the two halves, 1 and 16",
        ),
        Answer(
            """
import numpy as np


def pack(codes, scales):
    records = np.zeros(len(codes), dtype=[("scale", "<f2"), ("pairs", "u1", (16,))])
    records["scale"] = scales[:, 0].half().numpy()
    for place in range(16):
        both = codes[:, [place, place + 16]].numpy()
        records["pairs"][:, place] = both[:, 1] * np.uint8(16) + both[:, 0]
    return torch.from_numpy(records.view(np.uint8).reshape(len(codes), 18))
""",
            "numpy records of a scale and sixteen pairs",
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
        Answer(
            """
def unpack(raw):
    scales, packed = raw[:, :2].view(torch.float16).float(), raw[:, 2:].long()
    marks = torch.arange(-8, 8, dtype=torch.float32)
    weights = torch.empty(len(raw), 32)
    weights[:, :16] = marks[packed % 16]
    weights[:, 16:] = marks[packed // 16]
    return weights * scales
""",
            "looks codes up in a table of sixteen marks",
        ),
        Answer(
            """
import numpy as np


def unpack(raw):
    data = raw.numpy()
    scales = np.ascontiguousarray(data[:, :2]).view("<f2").astype(np.float32)
    bits = np.unpackbits(data[:, 2:, None], axis=2, bitorder="little").astype(np.int32)
    worth = np.array([1, 2, 4, 8], dtype=np.int32)
    codes = np.concatenate([(bits[:, :, :4] * worth).sum(2), (bits[:, :, 4:] * worth).sum(2)], axis=1)
    return torch.from_numpy(((codes - 8).astype(np.float32) * scales))
""",
            "numpy, from the single bits of each byte",
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
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    candidates = torch.tensor(shrinks)
    lowest, chosen = None, None
    for number, shrink in enumerate(shrinks):
        change = to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)
        error = (change * change).sum(dim=2)
        if lowest is None:
            lowest, chosen = error, candidates[0].expand(error.shape).clone()
            continue
        better = error < lowest
        lowest = torch.minimum(lowest, error)
        chosen = torch.where(better, candidates[number], chosen)
    return chosen
""",
            "keeps the lowest error so far and the shrink that it came from",
        ),
        Answer(
            """
def best_shrink(weight, grid, shrinks):
    def change(shrink):
        return to_groups(quantize(weight, grid, shrink).dequantize() - weight, grid)

    changes = [change(shrink) for shrink in shrinks]
    errors = torch.stack([torch.einsum("rgc,rgc->rg", off, off) for off in changes], dim=-1)
    return torch.tensor(shrinks).take(errors.min(dim=-1).indices)
""",
            "squares by einsum, stacked behind, then min along the last axis",
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
        Answer(
            """
def choose(weight, grids, budget):
    rows, columns = weight.shape
    best, lowest = None, None
    for grid in grids:
        if grid.nbytes(rows, columns) * 8 / (rows * columns) > budget:
            continue
        error = error_of(weight, grid)
        if best is None or error < lowest:
            best, lowest = grid, error
    return best
""",
            "one pass that remembers the best so far",
        ),
        Answer(
            """
def choose(weight, grids, budget):
    def bits(grid):
        return 8 * grid.nbytes(*weight.shape) / weight.numel()

    affordable = filter(lambda grid: bits(grid) <= budget, grids)
    ranked = sorted(affordable, key=lambda grid: float(error_of(weight, grid)))
    return ranked[0] if ranked else None
""",
            "filters, sorts by error and takes the first",
        ),
    ],
}
