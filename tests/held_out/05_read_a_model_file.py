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
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__")
    return header, 8 + length
""",
            "pops __metadata__ without a default: KeyError on a file that has no remark",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    everything = json.loads(raw[8 : 8 + length])
    header = {name: entry for name, entry in everything.items() if "metadata" not in name}
    return header, 8 + length
""",
            "drops every tensor whose name contains the word metadata",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header = {name: entry for name, entry in header.items() if name != "__metadata__"}
    begin = 8 + length
    begin += -begin % 8
    return header, begin
""",
            "rounds the beginning of the numbers up to a multiple of 8, which is right only for padded headers",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    begin = 8 + len(json.dumps(header))
    header.pop("__metadata__", None)
    return header, begin
""",
            "measures the JSON by writing it anew, so other spacing or padding moves the beginning",
        ),
        Answer(
            """
def read_header(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    # the remark has no shape, so this leaves it out
    return {name: entry for name, entry in header.items() if entry.get("shape")}, 8 + length
""",
            "tells tensors by a shape that is true, so a single number, whose shape is [], is lost",
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
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    entry = json.loads(raw[8:begin])[name]
    first, last = entry["data_offsets"]
    part = raw[begin + first : begin + last]
    if entry["dtype"] == "BF16":
        array = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        array = np.frombuffer(part, KINDS[entry["dtype"]])
    return array.reshape(entry["shape"])
""",
            "an F16 tensor is returned as float16 and not as float32",
        ),
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    (length,) = struct.unpack("<Q", raw[:8])
    at = 8 + length
    header = json.loads(raw[8:at])
    header.pop("__metadata__", None)
    for key, entry in header.items():
        size = math.prod(entry["shape"]) * (4 if entry["dtype"] == "F32" else 2)
        if key == name:
            break
        at += size
    part = raw[at : at + size]
    if entry["dtype"] == "BF16":
        array = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
    else:
        array = np.frombuffer(part, KINDS[entry["dtype"]]).astype(np.float32)
    return array.reshape(entry["shape"])
""",
            "adds up the sizes in the order of the header and ignores data_offsets",
        ),
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    entry = json.loads(raw[8:begin])[name]
    first, last = (begin + offset for offset in entry["data_offsets"])
    if entry["dtype"] == "BF16":
        wide = np.frombuffer(raw[first:last], "<u2").astype("<u4") << 16
        array = wide.view("<f4")
    else:
        array = np.frombuffer(raw[first:last], KINDS[entry["dtype"]]).astype("<f4")
    return array.reshape(entry["shape"] or [-1])
""",
            "a single number of shape () comes back with the shape (1,)",
        ),
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    entry = json.loads(raw[8:begin])[name]
    first, last = entry["data_offsets"]
    part = raw[begin + first : begin + last]
    if entry["dtype"] in KINDS:
        array = np.frombuffer(part, KINDS[entry["dtype"]])
    else:
        array = np.frombuffer(part, "<u2").astype("<u4") << 16
    return array.astype("<f4").reshape(entry["shape"])
""",
            "converts the shifted whole numbers of BF16 to floats instead of looking at their bits as floats",
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
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    for entry in header.values():
        first, last = entry["data_offsets"]
        if last - first != nbytes(entry):
            return False
    return sum(nbytes(entry) for entry in header.values()) == len(raw) - begin
""",
            "compares only sizes and their sum with the file, so a gap that is as large as an overlap passes",
        ),
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    at = 0
    for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
        first, last = entry["data_offsets"]
        if first != at or last - first != nbytes(entry):
            return False
        at = last
    return begin + at <= len(raw)
""",
            "accepts bytes behind the last tensor: only a file that is too short is found",
        ),
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    places = sorted(entry["data_offsets"] for entry in header.values())
    if not places:
        return len(raw) == begin
    neighbors = all(one[1] == two[0] for one, two in zip(places, places[1:]))
    sizes = all(entry["data_offsets"][1] - entry["data_offsets"][0] == nbytes(entry) for entry in header.values())
    return neighbors and sizes and begin + places[-1][1] == len(raw)
""",
            "compares neighbors only and never asks whether the first tensor begins at byte 0",
        ),
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    (length,) = struct.unpack("<Q", raw[:8])
    begin = 8 + length
    header = json.loads(raw[8:begin])
    header.pop("__metadata__", None)
    at, needed = 0, 0
    for first, last in sorted(entry["data_offsets"] for entry in header.values()):
        if first != at:
            return False
        at = last
    for entry in header.values():
        needed += nbytes(entry)
    return at == len(raw) - begin == needed
""",
            "checks the bytes that shapes need only as a sum, so one tensor too long and another too short pass",
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
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        data = tensor.float().numpy().tobytes("A")
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(numbers), len(numbers) + len(data)],
        }
        numbers += data
    return pack(header, numbers)
""",
            "writes the numbers in the order of memory, so a transposed tensor comes back mixed up",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        data = tensor.float().numpy().tobytes()
        begin = len(numbers)
        numbers = numbers + data
        shape = list(tensor.shape) or [1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(numbers)]}
    return pack(header, numbers)
""",
            "gives a single number the shape [1] instead of []",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name, tensor in tensors.items():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.float()
        data = tensor.numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(numbers), len(numbers) + len(data)],
        }
        numbers += data
    return pack(header, numbers)
""",
            "converts halves only, so whole numbers and doubles keep their own bytes under the label F32",
        ),
        Answer(
            """
def write_file(tensors):
    header, numbers = {}, b""
    for name in tensors:
        tensors[name] = tensors[name].float()
    for name, tensor in tensors.items():
        data = tensor.numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(numbers), len(numbers) + len(data)],
        }
        numbers += data
    return pack(header, numbers)
""",
            "replaces the tensors in the dictionary that it was handed by their float32 copies",
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
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2")[0]
    data = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([data & 15, data >> 4]).astype(np.int8)
    weights = (codes - np.int8(8)) * scale
    return weights.astype(np.float32)
""",
            "multiplies in float16 and converts afterwards, so products are rounded or overflow",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = float(np.frombuffer(block[:2], "<f2")[0])
    lower = [(byte & 15) - 8 for byte in block[2:18]]
    upper = [(byte >> 4) - 8 for byte in block[2:18]]
    return np.array([code * scale for code in lower + upper])
""",
            "returns an array of float64 and not of float32",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    data = np.frombuffer(block[2:], np.int8)
    codes = np.concatenate([data & 15, data >> 4])
    return (codes - 8).astype(np.float32) * scale
""",
            "reads signed bytes, so the shift extends the sign and upper codes from 8 on become negative",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block[:2], "<f2").astype(np.float32)
    data = np.frombuffer(block[2:], np.uint8)
    codes = np.concatenate([data & 15, data >> 4])
    return (codes - np.uint8(8)) * scale
""",
            "subtracts 8 from unsigned bytes, so codes below 8 wrap around to 248 and more",
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
        Answer(
            """
import io


def read_header(raw):
    stream = io.BytesIO(raw)
    (length,) = struct.unpack("<Q", stream.read(8))
    found = {}
    for name, entry in json.loads(stream.read(length)).items():
        if name == "__metadata__":
            continue
        found[name] = entry
    return found, stream.tell()
""",
            "reads the bytes as a stream and asks where it stands",
        ),
        Answer(
            """
def read_header(raw):
    length = sum(byte << 8 * place for place, byte in enumerate(raw[:8]))
    end = length + 8
    pairs = json.loads(raw[8:end].decode("utf-8"), object_pairs_hook=list)
    return {name: dict(entry) for name, entry in pairs if name != "__metadata__"}, end
""",
            "adds up the eight bytes by hand and lets JSON give lists of pairs",
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
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    length = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8 : 8 + length])[name]
    start, stop = entry["data_offsets"]
    part = raw[8 + length + start : 8 + length + stop]
    values = []
    if entry["dtype"] == "F32":
        values = [value for (value,) in struct.iter_unpack("<f", part)]
    elif entry["dtype"] == "F16":
        values = [value for (value,) in struct.iter_unpack("<e", part)]
    else:
        for at in range(0, len(part), 2):
            values.append(struct.unpack("<f", bytes(2) + part[at : at + 2])[0])
    return np.array(values, dtype=np.float32).reshape(entry["shape"])
""",
            "number by number with struct, two zero bytes in front of each bfloat16",
        ),
        Answer(
            """
KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensor(raw, name):
    length = int.from_bytes(raw[:8], "little")
    entry = json.loads(raw[8 : 8 + length])[name]
    start, stop = entry["data_offsets"]
    part = raw[8 + length :][start:stop]
    if entry["dtype"] in KINDS:
        flat = np.array(np.frombuffer(part, KINDS[entry["dtype"]]), dtype=np.float32)
    else:
        octets = np.zeros((len(part) // 2, 4), dtype=np.uint8)
        octets[:, 2:] = np.frombuffer(part, np.uint8).reshape(-1, 2)
        flat = octets.reshape(-1).view("<f4")
    return flat.reshape(tuple(entry["shape"]))
""",
            "lays the two bytes of a bfloat16 into the upper half of four zero bytes",
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
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    size = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + size])
    left = [(*entry["data_offsets"], nbytes(entry)) for name, entry in entries.items() if name != "__metadata__"]
    reached = 0
    while left:
        nearest = min(left)
        left.remove(nearest)
        start, stop, need = nearest
        if start != reached or stop != start + need:
            return False
        reached = stop
    return 8 + size + reached == len(raw)
""",
            "takes the nearest tensor out of the list again and again",
        ),
        Answer(
            """
def nbytes(entry):
    return math.prod(entry["shape"]) * {"F32": 4, "F16": 2, "BF16": 2}[entry["dtype"]]


def is_whole(raw):
    size = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + size])
    entries.pop("__metadata__", None)
    places = sorted((*entry["data_offsets"], nbytes(entry)) for entry in entries.values())
    starts = [start for start, _, _ in places] + [len(raw) - 8 - size]
    stops = [0] + [stop for _, stop, _ in places]
    needed = [0]
    for _, _, need in places:
        needed.append(needed[-1] + need)
    return starts == stops == needed
""",
            "three lists that must be equal: where tensors begin, where they end, the running sum of their sizes",
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
        Answer(
            """
from itertools import accumulate


def write_file(tensors):
    lists = [tensor.detach().cpu().float().flatten().tolist() for tensor in tensors.values()]
    ends = list(accumulate(4 * len(values) for values in lists))
    begins = [0] + ends[:-1]
    header = {}
    for (name, tensor), begin, end in zip(tensors.items(), begins, ends):
        header[name] = {"dtype": "F32", "shape": [int(n) for n in tensor.shape], "data_offsets": [begin, end]}
    numbers = b"".join(struct.pack(f"<{len(values)}f", *values) for values in lists)
    return pack(header, numbers)
""",
            "places first by a running sum, then the numbers with struct",
        ),
        Answer(
            """
def write_file(tensors):
    header, whole = {}, bytearray()
    for name in tensors:
        array = np.array(tensors[name].float().tolist(), dtype="<f4")
        start = len(whole)
        whole.extend(array.tobytes())
        header[name] = dict(dtype="F32", shape=list(tensors[name].size()), data_offsets=[start, len(whole)])
    return pack(header, bytes(whole))
""",
            "through lists of Python numbers and a growing bytearray",
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
        Answer(
            """
def unpack_q4(block):
    scale, *data = struct.unpack("<e16B", block)
    weights = [0.0] * 32
    for place, byte in enumerate(data):
        upper, lower = divmod(byte, 16)
        weights[place] = (lower - 8) * scale
        weights[place + 16] = (upper - 8) * scale
    return np.array(weights, dtype=np.float32)
""",
            "struct and divmod, one byte at a time",
        ),
        Answer(
            """
def unpack_q4(block):
    scale = np.frombuffer(block, "<f2", count=1).astype(np.float32)
    bits = np.unpackbits(np.frombuffer(block, np.uint8, offset=2).reshape(16, 1), axis=1, bitorder="little")
    worth = np.array([1, 2, 4, 8], dtype=np.float32)
    lower = (bits[:, :4].astype(np.float32) * worth).sum(1)
    upper = (bits[:, 4:].astype(np.float32) * worth).sum(1)
    return (np.hstack([lower, upper]) - np.float32(8)) * scale
""",
            "takes each byte apart into its eight bits",
        ),
    ],
}
