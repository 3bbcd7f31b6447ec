"""The members of a zip file, which may lie about them: its directory, their places and their sizes are not believed.

Only what `torch.save` writes (stored) and what zipping again makes of it (deflated) is read, and what is read is
checked against its CRC-32. Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .source import read_range

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of name and extra field
_MAX_DIRECTORY = 4 << 20  # bytes; the released hift.pt has 334 members in 30 kB
_CHUNK = 1 << 20


class DamagedZip(Exception):
    """Says in a few words what is wrong."""


class _BoundedFile(io.FileIO):
    """What `zipfile` reads the directory from: in one piece, however long the file says it is."""

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(_MAX_DIRECTORY + 1 if size is None or size < 0 else min(size, _MAX_DIRECTORY + 1))
        if len(content) > _MAX_DIRECTORY:
            raise DamagedZip("its directory is too long")
        return content


class Zip:
    """An archive's members by name. DamagedZip for one that is no zip file or whose members cannot be as it says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checked: set[str] = set()
        try:
            with _BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, struct.error) as error:
            raise DamagedZip(str(error)) from error
        self.members = {info.filename: info for info in infos}
        if len(self.members) != len(infos):
            raise DamagedZip("two members have one name")
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise DamagedZip("two members overlap")
            end = info.header_offset + _LOCAL_HEADER.size + info.compress_size
            stored = info.compress_type == zipfile.ZIP_STORED
            if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
                raise DamagedZip("it is compressed in a way that torch does not read")
            if stored and info.compress_size != info.file_size:
                raise DamagedZip("a member has two sizes")
        if end > path.stat().st_size:
            raise DamagedZip("a member is not in it")

    def size(self, name: str) -> int:
        """Bytes of a member, as the directory says."""
        return self.members[name].file_size

    def is_deflated(self, name: str) -> bool:
        return self.members[name].compress_type == zipfile.ZIP_DEFLATED

    def read(self, name: str, limit: int) -> bytes:
        """A whole member; DamagedZip where it is longer than `limit` bytes, which then are not read."""
        info = self.members[name]
        if info.file_size > limit:
            raise DamagedZip(f"a member has {info.file_size} bytes where {limit} are too many")
        with self.path.open("rb") as file:
            file.seek(self._start(info))
            content = file.read(info.compress_size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            content = _inflate(content, info.file_size)
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise DamagedZip(f"a checksum ({name}) is wrong")
        return content

    def read_range(self, name: str, start: int, dtype: np.dtype, count: int) -> np.ndarray:
        """`count` values from byte `start` of a stored member, (count,), once all of the member has been checked."""
        info = self.members[name]
        offset = self._start(info)
        if name not in self._checked:
            self._check(info, offset)
            self._checked.add(name)
        return read_range(self.path, offset + start, dtype, count)

    def _check(self, info: zipfile.ZipInfo, offset: int) -> None:
        checksum, left = 0, info.file_size
        with self.path.open("rb") as file:
            file.seek(offset)
            while left and (chunk := file.read(min(left, _CHUNK))):
                checksum = zlib.crc32(chunk, checksum)
                left -= len(chunk)
        if left or checksum != info.CRC:
            raise DamagedZip(f"a checksum ({info.filename}) is wrong")

    def _start(self, info: zipfile.ZipInfo) -> int:
        # The central directory's extra field may differ in length from the local one, which torch pads for alignment.
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(_LOCAL_HEADER.size)
        if len(header) != _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise DamagedZip("a member is not where its directory says")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        return info.header_offset + _LOCAL_HEADER.size + name + extra


def _inflate(content: bytes, size: int) -> bytes:
    """The raw deflate stream's first bytes, one more than `size` where it has more."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    except zlib.error as error:
        raise DamagedZip(str(error)) from error
