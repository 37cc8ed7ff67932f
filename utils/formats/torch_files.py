"""Files that `torch.save` wrote (.bin, .pt, .pth): where each tensor lies in them.

Such a file is a zip: `NAME/data.pkl` is a pickle that builds tensors (`utils.formats.pickle_machine`), and
`NAME/data/0`, `NAME/data/1`, … are their bytes.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from utils.errors import CourseError, show
from utils.formats.pickle_machine import Damaged, Other, PickleMachine, Record, Unsafe, View
from utils.formats.safetensors import StoredTensor

LONGEST_PICKLE = 2_000_000  # bytes; that of the largest GPT-2 takes 100,000


LONGEST_DIRECTORY = 8_000_000  # bytes of the zip's table of contents


def open_torch_file(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file of `torch.save` by name."""
    try:
        records = read_zip(path)
        content = PickleMachine(*_read_pickle(path, records)).run()
    except Unsafe as error:
        raise CourseError(
            f"{path} is refused: its pickle asks for more than weights, and loading it could run code. {error}. "
            "Get a .safetensors file from its author."
        ) from error
    except (ValueError, OSError, struct.error) as error:
        raise CourseError(f"{path} is damaged: {str(error)[:300]}. Fetch or save it again.") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path} holds a {type(content).__name__}, expected tensors by name.")
    return _tensors(path, content, sum(record.size for record in records.values()))


def _tensors(path: Path, content: dict, size: int) -> dict[str, StoredTensor]:
    found = {}
    for name, value in content.items():
        if isinstance(value, Other):
            raise CourseError(f"{path}: {show(name)} is made by {value}, expected plain tensors. Save it as those.")
        if isinstance(value, View):
            dense = value.stride == _dense(value.shape)
            start = value.storage.place.start + value.offset * value.storage.dtype.itemsize
            stride = None if dense else value.stride
            found[str(name)] = StoredTensor(path, value.storage.dtype, value.shape, start, stride)
    if not found and any(isinstance(value, dict) for value in content.values()):
        raise CourseError(
            f"{path} holds {', '.join(show(name) for name in list(content)[:5])}, expected a plain state dict. "
            "Load it with torch where it was made, and save model.state_dict() alone."
        )
    if (claimed := sum(tensor.nbytes for tensor in found.values())) > 4 * size:
        raise CourseError(
            f"{path} is refused: its {len(found)} tensors share their bytes and would take {claimed:,} in memory, "
            f"the file holds {size:,}. Save model.state_dict() alone."
        )
    return found


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the stride of a tensor whose rows follow each other."""
    stride, step = [], 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return tuple(reversed(stride))


def read_zip(path: Path) -> dict[str, Record]:
    """Return where each entry of a zip without compression lies, or say which byte is wrong."""
    size = path.stat().st_size
    with path.open("rb") as file:
        directory = _directory_size(file, size)
        if directory > min(size, LONGEST_DIRECTORY):
            raise Damaged(f"byte {size - 10:,} says that the table of contents takes {directory:,} bytes")
        try:
            with zipfile.ZipFile(file) as archive:
                entries, end = archive.infolist(), archive.start_dir
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
            raise Damaged(f"the table of contents before byte {size:,} can't be read ({error})") from error
        found: dict[str, Record] = {}
        free = 0  # entries may neither overlap nor share a name
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            record = _read_entry(file, entry, end)
            if entry.header_offset < free or entry.filename in found:
                raise Damaged(f"byte {entry.header_offset:,} begins {show(entry.filename)} a second time or too early")
            found[entry.filename], free = record, record.start + record.size
    return found


def _directory_size(file, size: int) -> int:
    """Return the bytes of the table of contents as the end of the file tells them."""
    file.seek(max(0, size - 98))
    tail = file.read(98).rjust(98, b"\0")
    if tail[76:80] != b"PK\5\6":
        raise Damaged(f"byte {max(0, size - 22):,} does not begin the end of a zip, so the file may be truncated")
    if tail[56:60] == b"PK\6\7":  # files of more than 4 GB tell it in a longer record
        return struct.unpack_from("<Q", tail, 40)[0]
    return struct.unpack_from("<I", tail, 76 + 12)[0]


def _read_entry(file, entry: zipfile.ZipInfo, end: int) -> Record:
    """Return where the bytes of an entry lie: behind a header of 30 bytes, a name and an extra field."""
    name, at = show(entry.filename), entry.header_offset
    if not 0 <= at <= end:
        raise Damaged(f"{name} would begin at byte {at:,}, the entries end at {end:,}")
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
        raise Damaged(f"{name} at byte {at:,} is compressed, which PyTorch never does")
    file.seek(at)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\3\4":
        raise Damaged(f"byte {at:,} does not begin the entry {name}")
    start = at + 30 + sum(struct.unpack_from("<HH", header, 26))
    if start + entry.file_size > end:
        raise Damaged(f"{name} would end at byte {start + entry.file_size:,}, the entries end at {end:,}")
    return Record(start, entry.file_size)


def _read_pickle(path: Path, records: dict[str, Record]) -> tuple[bytes, int, dict[str, Record]]:
    """Return the pickle, the byte at which it starts, and the records of tensors by their key."""
    names = [name for name in records if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise Damaged(f"it holds {len(names)} entries named data.pkl, expected one, as torch.save writes it")
    prefix, place = names[0].removesuffix("data.pkl"), records[names[0]]
    if place.size > LONGEST_PICKLE:
        raise Damaged(f"the pickle at byte {place.start:,} takes {place.size:,} bytes, expected {LONGEST_PICKLE:,}")
    with path.open("rb") as file:
        file.seek(place.start)
        data = file.read(place.size)
        order = records.get(f"{prefix}byteorder", Record(0, 0))
        file.seek(order.start)
        if file.read(min(order.size, 10)) not in (b"", b"little"):
            raise Damaged(f"byte {order.start:,} says that its numbers are not little-endian")
    start = f"{prefix}data/"
    return data, place.start, {name.removeprefix(start): r for name, r in records.items() if name.startswith(start)}
