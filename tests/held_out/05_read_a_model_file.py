"""Answers to exercise 05, written from the lessons and the texts of its tasks alone."""

from tests.held_out import Answer

WRONG = {
    "q1": [
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, length
""",
            "forgotten step: the eight bytes don't count",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    del header["__metadata__"]
    return header, 8 + length
""",
            "crashes without a remark",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), 8 + length
""",
            "forgotten step: takes the remark for a tensor",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return 8 + length, header
""",
            "swapped results",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    return header, 8 + len(json.dumps(header))
""",
            "the length of the JSON written anew, which fits some files only",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}, 8 + length
""",
            "names without their entries",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[:length])
    header.pop("__metadata__", None)
    return header, 8 + length
""",
            "wrong slice: reads the JSON from the first byte",
        ),
    ],
    "q2": [
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[first:last], header[name]["dtype"]
    if kind == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[kind]).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"])
""",
            "offsets counted from the start of the file",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    if kind == "BF16":
        return torch.from_numpy((np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4"))
    return torch.from_numpy(np.frombuffer(part, KINDS[kind]).astype("<f4"))
""",
            "forgotten step: all numbers in one row",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    numbers = np.frombuffer(part, KINDS.get(kind, np.dtype("<f2"))).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"])
""",
            "reads bfloat16 as float16",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    if kind == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 16).astype("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[kind]).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"])
""",
            "converts the whole numbers instead of viewing them",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    if kind == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[kind])
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"])
""",
            "wrong type: float16 stays float16",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    if kind == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[kind]).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"][::-1])
""",
            "swapped axes",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    entry = next(iter(header.values()))
    first, last = entry["data_offsets"]
    part = raw[begin + first : begin + last]
    if entry["dtype"] == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[entry["dtype"]]).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(entry["shape"])
""",
            "ignores an argument: always the first tensor",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    first, last = header[name]["data_offsets"]
    part, kind = raw[begin + first : begin + last], header[name]["dtype"]
    if kind == "BF16":
        numbers = (np.frombuffer(part, "<u2").astype("<u4") << 8).view("<f4")
    else:
        numbers = np.frombuffer(part, KINDS[kind]).astype("<f4")
    return torch.from_numpy(numbers.copy()).reshape(header[name]["shape"])
""",
            "pushes up by 8 bits, not by 16",
        ),
    ],
    "q3": [
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in header.values():
        first, last = entry["data_offsets"]
        if first != end or last - first != nbytes(entry):
            return False
        end = last
    return begin + end == len(raw)
""",
            "forgotten step: takes the header's order for the file's",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for first, last in sorted(entry["data_offsets"] for entry in header.values()):
        if first != end:
            return False
        end = last
    return begin + end == len(raw)
""",
            "forgotten step: the sizes of tensors",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        if first != end or last - first != nbytes(entry):
            return False
        end = last
    return begin + end <= len(raw)
""",
            "forgotten step: bytes behind the last tensor",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        if first > end or last - first != nbytes(entry):
            return False
        end = max(end, last)
    return begin + end == len(raw)
""",
            "sees gaps, but no overlaps",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    return sum(nbytes(entry) for entry in header.values()) == len(raw) - begin
""",
            "adds up bytes only: a gap and an overlap make up for each other",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    entries = sorted(header.values(), key=lambda entry: entry["data_offsets"])
    end = entries[0]["data_offsets"][0] if entries else 0
    for entry in entries:
        first, last = entry["data_offsets"]
        if first != end or last - first != nbytes(entry):
            return False
        end = last
    return begin + end == len(raw)
""",
            "forgotten step: the first tensor may begin anywhere",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        if first != end or last - first != nbytes(entry):
            return False
        end = last
    return end == len(raw)
""",
            "counts the end from the start of the file",
        ),
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    end = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        if first != end or last - first != nbytes(entry):
            return
        end = last
    if begin + end == len(raw):
        return True
""",
            "wrong type: nothing instead of False",
        ),
    ],
    "q4": [
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        part = bytes(tensor.contiguous().view(-1).view(torch.uint8).tolist())
        offsets = [len(numbers), len(numbers) + len(part)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += part
    return pack(header, numbers)
""",
            "keeps the number format of each tensor",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        part = tensor.float().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [0, len(part)]}
        numbers += part
    return pack(header, numbers)
""",
            "each tensor begins at 0",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers, first = {}, b"", 0
    for name, tensor in tensors.items():
        offsets = [first, first + tensor.numel()]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += tensor.float().numpy().tobytes()
        first += tensor.numel()
    return pack(header, numbers)
""",
            "offsets count numbers, not bytes",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        part = tensor.float().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(numbers), len(part)]}
        numbers += part
    return pack(header, numbers)
""",
            "a beginning and a length instead of a beginning and an end",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        part = tensor.float().numpy().tobytes()
        offsets = [len(numbers), len(numbers) + len(part)]
        header[name] = {"dtype": "float32", "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += part
    return pack(header, numbers)
""",
            "a wrong name of the format",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        part = tensor.float().numpy().tobytes()
        offsets = [len(numbers), len(numbers) + len(part)]
        header[name] = {"dtype": "F32", "shape": [tensor.numel()], "data_offsets": offsets}
        numbers += part
    return pack(header, numbers)
""",
            "forgotten step: the shape is the number of numbers",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers, first = {}, b"", 0
    for name, tensor in tensors.items():
        numbers = tensor.float().numpy().tobytes()
        offsets = [first, first + len(numbers)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        first += len(numbers)
    return pack(header, numbers)
""",
            "only the last tensor's numbers are kept",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        numbers += tensor.float().numpy().tobytes()
        offsets = [len(numbers), len(numbers) + 4 * tensor.numel()]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
    return pack(header, numbers)
""",
            "offsets counted from behind the tensor",
        ),
    ],
    "q5": [
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
    return (codes.astype(np.float32) - 8) * scale
""",
            "neighbors share a byte",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed >> 4, packed & 15])
    return (codes.astype(np.float32) - 8) * scale
""",
            "swapped halves",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed >> 4])
    return codes.astype(np.float32) * scale
""",
            "forgotten step: codes count from 0",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed >> 4])
    return (codes - 8).astype(np.float32) * scale
""",
            "bytes know no numbers below 0",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed >> 4])
    return (codes.astype(np.float32) - 7.5) * scale
""",
            "wrong constant: the middle between the marks",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<u2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed >> 4])
    return (codes.astype(np.float32) - 8) * scale
""",
            "wrong type: the scale as a whole number",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed & 240])
    return (codes.astype(np.float32) - 8) * scale
""",
            "the upper half isn't moved down",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], ">f2").astype(np.float32)
    packed = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([packed & 15, packed >> 4])
    return (codes.astype(np.float32) - 8) * scale
""",
            "swapped bytes of the scale",
        ),
    ],
}

RIGHT = {
    "q1": [
        Answer(
            """
def read_header(raw):
    import io

    stream = io.BytesIO(raw)
    length = int.from_bytes(stream.read(8), "little")
    entries = json.loads(stream.read(length).decode("utf-8"))
    return {name: entries[name] for name in entries if name != "__metadata__"}, stream.tell()
""",
            "reads the file as a stream",
        ),
    ],
    "q2": [
        Answer(
            r"""
def read_tensor(raw, name):
    header, begin = read_header(raw)
    entry = header[name]
    part = raw[begin:][slice(*entry["data_offsets"])]
    if entry["dtype"] == "BF16":
        part = b"".join(b"\0\0" + part[i : i + 2] for i in range(0, len(part), 2))
    letter = "e" if entry["dtype"] == "F16" else "f"
    numbers = struct.unpack(f"<{math.prod(entry['shape'])}{letter}", part)
    return torch.tensor(numbers, dtype=torch.float32).reshape(entry["shape"])
""",
            "two zero bytes below each bfloat16, float by float",
        ),
        Answer(
            """
def read_tensor(raw, name):
    header, begin = read_header(raw)
    entry = header[name]
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    first, last = entry["data_offsets"]
    part = torch.frombuffer(bytearray(raw[begin + first : begin + last]), dtype=kinds[entry["dtype"]])
    return part.float().reshape(entry["shape"])
""",
            "PyTorch knows all three formats",
        ),
    ],
    "q3": [
        Answer(
            """
def is_whole(raw):
    header, begin = read_header(raw)
    offsets = sorted(entry["data_offsets"] for entry in header.values())
    fits = all(last - first == nbytes(entry) for entry in header.values() for first, last in [entry["data_offsets"]])
    flat = [0, *(byte for pair in offsets for byte in pair), len(raw) - begin]
    return fits and all(a == b for a, b in zip(flat[::2], flat[1::2], strict=True))
""",
            "every beginning is an end or the first byte",
        ),
    ],
    "q4": [
        Answer(
            """
def write_file(tensors):
    return save({name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()})
""",
            "the library itself",
        ),
        Answer(
            """
def write_file(tensors):
    parts = {name: tensor.to(torch.float32).numpy().tobytes() for name, tensor in tensors.items()}
    ends = np.cumsum([0, *map(len, parts.values())]).tolist()
    header = {
        name: {"data_offsets": [ends[i], ends[i + 1]], "shape": [*tensors[name].shape], "dtype": "F32"}
        for i, name in enumerate(parts)
    }
    return pack(header, b"".join(parts.values()))
""",
            "first all parts, then their offsets",
        ),
    ],
    "q5": [
        Answer(
            """
def unpack_q4(block):
    scale, *packed = struct.unpack("<e16B", block)
    low = [(byte % 16 - 8) * scale for byte in packed]
    high = [(byte // 16 - 8) * scale for byte in packed]
    return np.array(low + high, dtype=np.float32)
""",
            "one number after another",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block, np.float16, count=1)[0]
    packed = np.frombuffer(block, np.uint8, offset=2)
    codes = np.hstack([packed & 0x0F, packed >> 4]).astype(np.int8) - np.int8(8)
    return np.float32(scale) * codes.astype(np.float32)
""",
            "signed bytes",
        ),
    ],
}
