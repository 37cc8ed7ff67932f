"""Typical wrong answers to exercise 05, and a part of the message that each must get."""

HEADER = """def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    {drop}
    return {back}
"""
DROP, BACK = 'header.pop("__metadata__", None)', "header, 8 + length"

TENSOR = """def read_tensor(raw, name):
    header, begin = read_header(raw)
    entry = header[name]
    first, last = entry["data_offsets"]
    part = raw[{begin} + first : {begin} + last]
    if entry["dtype"] == "BF16":
        values = {bfloat}
    else:
        values = np.frombuffer(part, {kind})
    return torch.tensor(values{convert}){view}
"""
READ = {
    "begin": "begin",
    "bfloat": '(np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")',
    "kind": 'KINDS[entry["dtype"]]',
    "convert": ".astype(np.float32)",
    "view": '.view(entry["shape"])',
}

WHOLE = """def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in {order}:
        first, last = entry["data_offsets"]
        if {wrong}:
            return False
        end = last
    return {last}
"""
CHECKED = {
    "order": 'sorted(header.values(), key=lambda entry: entry["data_offsets"])',
    "wrong": "first != end or last - first != nbytes(entry)",
    "last": "begin + end == len(raw)",
}

FILE = """def write_file(tensors):
    header, numbers = {{}}, b""
    for name, tensor in tensors.items():
        part = tensor{convert}.numpy().tobytes()
        place = {place}
        header[name] = {{"dtype": "F32", "shape": list(tensor.shape), "data_offsets": place}}
        {join}
    return pack(header, numbers)
"""
WRITTEN = {
    "convert": ".float()",
    "place": "[len(numbers), len(numbers) + len(part)]",
    "join": "numbers += part",
}

BLOCK = """def unpack_q4(block):
    scale = {scale}
    packed = np.frombuffer(block[2:], np.uint8)
    codes = {codes}
    return {weights}
"""
UNPACKED = {
    "scale": 'np.frombuffer(block[:2], "<f2").astype(np.float32)',
    "codes": "np.concatenate([packed & 15, packed >> 4]).astype(np.float32)",
    "weights": "(codes - 8) * scale",
}


def tensor(**changes):
    """Return the code of `read_tensor` with some of its parts changed."""
    return TENSOR.format(**(READ | changes))


def whole(**changes):
    """Return the code of `is_whole` with some of its parts changed."""
    return WHOLE.format(**(CHECKED | changes))


def file(**changes):
    """Return the code of `write_file` with some of its parts changed."""
    return FILE.format(**(WRITTEN | changes))


def block(**changes):
    """Return the code of `unpack_q4` with some of its parts changed."""
    return BLOCK.format(**(UNPACKED | changes))


WRONG = {
    "q1": [
        (HEADER.format(drop="", back=BACK), "left out"),
        (HEADER.format(drop=DROP, back="header, length"), "What stands before"),
        (HEADER.format(drop='del header["__metadata__"]', back=BACK), "with KeyError"),
        (HEADER.format(drop=DROP, back="header"), "return header, begin"),
    ],
    "q2": [
        (tensor(begin="0"), "the file, or its numbers"),
        (tensor(convert=""), "The dtype is float16"),
        (tensor(kind='"<i2" if entry["dtype"] == "F16" else "<f4"'), "read as a float"),
        (tensor(view=""), "Which shape does"),
        (tensor(bfloat='np.frombuffer(part, "<u2").astype("<u4").view("<f4")'), "upper or the lower"),
        (tensor(bfloat='np.frombuffer(part, "<f4")', view=""), "How many did you get"),
    ],
    "q3": [
        (whole(last="True"), "last byte is missing"),
        (whole(last="begin + end <= len(raw)"), "too many at the end"),
        (whole(order="header.values()"), "sort by place"),
        (whole(wrong="first != end"), "nbytes()"),
        (whole(wrong="last - first != nbytes(entry)"), "belong to nobody"),
        (
            "def is_whole(raw):\n    header, begin = read_header(raw)\n"
            "    if any(e['data_offsets'][1] - e['data_offsets'][0] != nbytes(e) for e in header.values()):\n"
            "        return False\n    return begin + sum(nbytes(e) for e in header.values()) == len(raw)",
            "cancel out",
        ),
        (whole(last="end == len(raw)"), "begin to count"),
    ],
    "q4": [
        (file(place="[8 + len(numbers), 8 + len(numbers) + len(part)]"), "From where do data_offsets count"),
        (file(place="[len(numbers), len(part)]"), "begin and size"),
        (file(join="numbers = part"), "numbers of all tensors"),
        (file(join="numbers = part + numbers"), "In which order"),
        (file(convert=""), "made float32 first"),
    ],
    "q5": [
        (block(weights="codes * scale"), "What is subtracted"),
        (
            block(codes="np.concatenate([packed & 15, packed >> 4])", weights="(codes - np.uint8(8)) * scale"),
            "negative",
        ),
        (block(codes="np.concatenate([packed >> 4, packed & 15]).astype(np.float32)"), "came first"),
        (block(codes="np.stack([packed & 15, packed >> 4], 1).ravel().astype(np.float32)"), "not neighbors"),
        (block(scale='np.frombuffer(block[:2], "<u2").astype(np.float32)'), "read as F16"),
        (block(codes="(packed & 15).astype(np.float32)"), "hold 32 codes"),
    ],
}
