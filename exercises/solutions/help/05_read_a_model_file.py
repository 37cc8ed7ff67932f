"""Help with exercise 05: for each task three hints, from a nudge to nearly the line, and why its answer is so."""

HINTS = {
    "q1": (
        "You know the length already. Which bytes are then the JSON, and which is the first one behind it?",
        "`json.loads(raw[8 : 8 + length])` gives a dictionary. `__metadata__` may be in it or not: which "
        "way of removing a key is fine with both?",
        '`header.pop("__metadata__", None)` removes it if it is there. Then `return header, 8 + length`.',
    ),
    "q2": (
        "The entry of the tensor says all: dtype, shape, and from where to where its bytes go. From where "
        "do these two places count?",
        "Cut `raw[begin + first : begin + last]` out. For F32 and F16 `np.frombuffer(part, KINDS[...])` "
        'reads it; for BF16 read "<u2", and make each number the upper half of one twice as wide.',
        '`(np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")` is a bfloat16 as float32. At the '
        'end `torch.tensor(values.astype(np.float32)).view(entry["shape"])`.',
    ),
    "q3": (
        "Walk through the file from the first byte of the numbers. At each tensor: does it begin where "
        "you stand, and is it as long as it must be?",
        "Sort the entries by their `data_offsets`, and keep in `end` where the last one ended, 0 at "
        "first. Three things can be wrong: where it begins, its size, and what is left over at the end.",
        "`if first != end or last - first != nbytes(entry): return False`, then `end = last`; after the "
        "loop `return begin + end == len(raw)`.",
    ),
    "q4": (
        "For each tensor there are three steps: its bytes, its entry, and on with the place where the next one begins.",
        "`len(numbers)` is where the next tensor begins, as long as you have not yet added its bytes. "
        "`list(tensor.shape)` is something that JSON can write.",
        "`part = tensor.float().numpy().tobytes()`, its place is `[len(numbers), len(numbers) + "
        "len(part)]`, and after the entry comes `numbers += part`.",
    ),
    "q5": (
        "Three parts: the scale of two bytes, the 32 codes, and the weights from both.",
        "`np.frombuffer(block[2:], np.uint8)` gives 16 numbers. `packed & 15` are the codes of weights 0 "
        "to 15, `packed >> 4` those of 16 to 31. Before you subtract 8, they must be of a type that can "
        "be negative.",
        "`codes = np.concatenate([packed & 15, packed >> 4]).astype(np.float32)`, and the weights are "
        "`(codes - 8) * scale`, with the scale as float32, too.",
    ),
}

WHY = {
    "q1": "Lengths are bytes, so the JSON is cut out before it is decoded: a letter like ö takes two of them. "
    "pop with a default is fine with files that carry no remark. Everything that reads the file later "
    "needs both the entries and the byte where the numbers begin.",
    "q2": "A bfloat16 has a float32's sign, exponent and the first seven bits of its fraction, so sixteen zeros "
    "behind it give the same number exactly. view looks at the same bits as another type, where astype "
    "would convert the number. The shape comes from the header alone: the bytes are one row.",
    "q3": "Asking for equality at each step leaves no way for a gap, an overlap or a late beginning, and sums "
    "can't hide one behind another. Sorting is needed, as the header is a dictionary and promises no "
    "order. A file from a stranger is checked like this before anybody reads beyond its end.",
    "q4": "Each tensor begins at the length of what is written so far, so there can be no gap. float() comes "
    "before the bytes are taken, since the header promises F32. tobytes writes in the order of the axes, "
    "also for a transposed tensor, whose memory is in another.",
    "q5": "The two codes of a byte are sixteen places apart, since a processor unpacks sixteen bytes at once "
    "into two rows of sixteen. uint8 knows nothing below 0, so the codes become float32 before 8 is "
    "subtracted. 18 bytes for 32 weights are 4.5 bits for each.",
}
