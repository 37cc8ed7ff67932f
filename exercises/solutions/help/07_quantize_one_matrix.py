"""Help with exercise 07: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "Two sums: bytes of codes and bytes of scales. Both are counted row by row. How many groups of "
        "eight codes has a row, and how many scales?",
        "Rounding up is `-(-a // b)`. A row has `-(-columns // 8)` eights, each of `bits` bytes, and "
        "`-(-columns // group)` scales, each of two bytes.",
        "`codes = rows * -(-columns // 8) * bits` and `scales = rows * -(-columns // group) * 2`.",
    ),
    "q2": (
        "The line that is there gives the farthest weight with its sign. What must you divide it by, so "
        "that it becomes −8 steps? And what if it is 0?",
        "`torch.where(condition, one, other)` chooses number by number: 1 where farthest is 0, else "
        "farthest / −8. A code is how many steps a weight is from zero, rounded, and moved so that zero "
        "is 8.",
        "`codes = ((blocks / scales).round() + 8).clamp(0, 15).to(torch.uint8)`.",
    ),
    "q3": (
        "Which two codes share byte i? Half of the 32 codes go into lower bits as they are, the other "
        "half must move up.",
        "`codes[:, :16]` stay in the lower four bits, `codes[:, 16:] << 4` are in the upper four. How are they joined?",
        "`packed = codes[:, :16] | codes[:, 16:] << 4`.",
    ),
    "q4": (
        "The steps of q3 and q2, backwards: first both halves of each byte, then weights from codes.",
        "`packed & 15` are codes 0 to 15, `packed >> 4` are codes 16 to 31; `torch.cat(…, dim=1)` puts "
        "them side by side. When must they become floats?",
        "`codes = torch.cat([packed & 15, packed >> 4], dim=1)`, then `(codes.float() - 8) * scales`.",
    ),
    "q5": (
        "You have the change of each weight, (rows, groups, columns of a group). What makes one number of "
        "each group out of it?",
        "Square, and sum along the last axis: (rows, groups) for each shrink. `torch.stack` puts the "
        "shrinks in front. Along which axis is the lowest wanted?",
        "In the loop: `errors.append(change.square().sum(-1))`. Behind it: `best = torch.stack(errors).argmin(0)`.",
    ),
    "q6": (
        "First those that fit, then the best of them. How do you get from bytes of a matrix to bits a weight?",
        "`8 * grid.nbytes(*weight.shape) / weight.numel()` are bits a weight, with scales. `min` takes a "
        "key, and a default for an empty list.",
        "`min(fitting, key=lambda grid: error_of(weight, grid), default=None)`, where fitting are grids "
        "with at most `budget` bits a weight.",
    ),
}

WHY = {
    "q1": "Everything ends with its row, so rounding up happens in each row and not once for the matrix. 16 "
    "bits of scale for 64 weights are a quarter of a bit each: that is why 4 bits in groups of 64 are "
    "called 4.25.",
    "q2": "The weight that matters most comes back exactly, at the price that one just as far out on the other "
    "side loses a step. The scale carries the sign, so the farthest weight is code 0 whichever side it "
    "lies on. The clamp comes before the conversion: a byte would take 16 without a word.",
    "q3": "A code below 16 fills only the lower four bits, so | joins the two without losing any. Codes i and i "
    "+ 16 share a byte and not neighbors, as a processor unpacks sixteen bytes at once into two rows of "
    "sixteen.",
    "q4": "float() comes before the subtraction, since uint8 counts round: 3 − 8 is 251 there. scales is "
    "(blocks, 1) and meets all 32 weights of its own block.",
    "q5": "argmin along the axis of the shrinks gives for each group the number of its best shrink, and "
    "shrinks[best] the shrink itself. Squares count a large error more than many small ones, as the error "
    "of a product does. The bytes are the same for every choice, so it costs nothing but time.",
    "q6": "Bits in the name leave out the scales: 3 bits in groups of 8 take 5 bits a weight. So the question "
    "is asked in bytes, and answered by the measured error, since more bytes don't always err less.",
}
