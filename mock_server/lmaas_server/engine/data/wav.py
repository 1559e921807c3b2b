"""WAV files as 16-bit samples of one channel, and back; knows no dataset and no torch.

The standard library's `wave` (3.11) refuses two kinds of file that audio editors write every day, float samples and the
extensible header of 24 bits; soundfile brings a C library that would decode whatever strangers send. A WAV is a list of
chunks, two of which matter, so they are read here (Microsoft and IBM, Multimedia Programming Interface, 1991, and
https://learn.microsoft.com/windows/win32/api/mmreg/ns-mmreg-waveformatextensible).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from lmaas_server.engine.data.examples import Array
from lmaas_server.errors import InvalidError, TooLargeError

HEAD_BYTES = 64 << 10
"""What is read of a file to learn how long it is: the samples of nearly every WAV begin within it."""
RATES = (1000, 768_000)
MOST_CHANNELS = 32

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 49: "GSM", 80: "MPEG", 85: "MP3"}
_UNKNOWN_SIZE = 0xFFFFFFFF
"""Written by programs that stream: the samples go on to the end of the file."""
_FULL = 32_768
_HOUR, _MINUTE = 3600, 60
_FORMAT_BYTES, _SUB_FORMAT_END = 16, 26


@dataclass(frozen=True, slots=True)
class Header:
    """How the samples of a file lie; `start` and `size` are in bytes, `size` is None where the file does not say."""

    rate: int
    channels: int
    width: int
    is_float: bool
    start: int
    size: int | None

    @property
    def block(self) -> int:
        """Bytes of one moment in all channels."""
        return self.width * self.channels

    def samples(self, file_bytes: int) -> int:
        """Return how many moments a file of so many bytes holds."""
        size = file_bytes - self.start if self.size is None else self.size
        return max(0, size) // self.block

    def seconds(self, file_bytes: int) -> float:
        """Return how long a file of so many bytes plays."""
        return self.samples(file_bytes) / self.rate


def read_header(data: bytes, place: str, param: str) -> Header:
    """Read the chunks before the samples; `data` is a file or its beginning.

    Raises:
        InvalidError: `audio_undecodable`, it is no WAV; `audio_unsupported`, its samples are compressed.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InvalidError(
            f"{place} is not a WAV file: it begins with {data[:12]!r}, not with RIFF....WAVE",
            code="audio_undecodable",
            param=param,
        )
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            if form is None:
                break
            return Header(*form, start=at, size=None if size == _UNKNOWN_SIZE else size)
        if name == b"fmt ":
            form = _read_format(data[at : at + size], place, param)
        at += size + size % 2
    raise InvalidError(f"{place} is a WAV file without samples", code="audio_undecodable", param=param)


def decode(data: bytes, place: str, param: str, *, max_seconds: float) -> tuple[Array, int]:
    """Return a file's samples as int16 of one channel, and their rate.

    Channels are averaged. 24 and 32 bits are cut to 16, floats are shares of full scale.

    Raises:
        InvalidError: what `read_header` raises; `audio_truncated`, `audio_empty`, `not_finite`.
        TooLargeError: `audio_too_long`.
    """
    header = read_header(data, place, param)
    check_length(header.seconds(len(data)), place, param, max_seconds=max_seconds)
    stated, there = header.samples(len(data)), (len(data) - header.start) // header.block
    if there < stated:
        raise InvalidError(
            f"{place} is truncated: its header says {stated:,} samples and {there:,} are there; send the whole file",
            code="audio_truncated",
            param=param,
        )
    raw = np.frombuffer(data, dtype=np.uint8, count=stated * header.block, offset=header.start)
    samples = _as_int16(raw, header, place, param).reshape(stated, header.channels)
    check_not_empty(len(samples), place, param)
    if header.channels == 1:
        return samples[:, 0], header.rate
    return np.rint(samples.mean(axis=1, dtype=np.float64)).astype(np.int16), header.rate


def encode(samples: Array, rate: int) -> bytes:
    """Return int16 samples of one channel as a WAV file."""
    body = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    form = struct.pack("<HHIIHH", _PCM, 1, rate, rate * 2, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"data" + struct.pack("<I", len(body)) + body


def check_length(seconds: float, place: str, param: str, *, max_seconds: float) -> None:
    """Refuse a clip that is longer than is taken, naming both durations."""
    if seconds > max_seconds:
        raise TooLargeError(
            f"{place} plays for {spoken(seconds)}; a clip may have at most {spoken(max_seconds)}. Cut it up",
            code="audio_too_long",
            param=param,
        )


def check_not_empty(samples: int, place: str, param: str) -> None:
    """Refuse a clip without a single sample."""
    if not samples:
        raise InvalidError(f"{place} is an empty clip: it has no samples", code="audio_empty", param=param)


def spoken(seconds: float) -> str:
    """Return a duration as people say it: `3 h 0 min`, `1 min 30 s`, `0.5 s`."""
    whole = round(seconds)
    if seconds >= _HOUR:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s" if seconds >= _MINUTE else f"{seconds:.3g} s"


def _read_format(chunk: bytes, place: str, param: str) -> tuple[int, int, int, bool]:
    """Return (rate, channels, bytes of a sample, whether it is a float)."""
    if len(chunk) < _FORMAT_BYTES:
        raise InvalidError(f"{place} has a damaged WAV header", code="audio_undecodable", param=param)
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= _SUB_FORMAT_END:
        tag = int.from_bytes(chunk[24:26], "little")  # the first bytes of the sub-format's GUID are the plain tag
    if (tag, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        name = _COMPRESSED.get(tag, f"format {tag}")
        found = f"{bits}-bit samples" if tag in {_PCM, _FLOAT} else name
        raise InvalidError(
            f"{place} is a WAV of {found}; PCM of 8, 16, 24 or 32 bits and floats of 32 or 64 are read. Convert it",
            code="audio_unsupported",
            param=param,
        )
    if not 1 <= channels <= MOST_CHANNELS or not RATES[0] <= rate <= RATES[1] or block != channels * bits // 8:
        raise InvalidError(
            f"{place} has a damaged WAV header: {channels} channels of {bits} bits at {rate:,} Hz in blocks of {block}",
            code="audio_undecodable",
            param=param,
        )
    return rate, channels, bits // 8, tag == _FLOAT


def _as_int16(raw: Array, header: Header, place: str, param: str) -> Array:
    """Return bytes as int16, whatever width they had."""
    if header.is_float:
        return from_floats(raw.view(f"<f{header.width}"), place, param)
    if header.width == 1:
        return (raw.astype(np.int16) - 128) << 8  # 8 bits are the only unsigned ones
    # Of wider samples the two upper bytes; they are little-endian.
    upper = np.ascontiguousarray(raw.reshape(-1, header.width)[:, header.width - 2 :])
    return upper.view("<i2").reshape(-1).astype(np.int16, copy=False)


def from_floats(values: Array, place: str, param: str) -> Array:
    """Return floats, shares of full scale, as int16; what is louder than full scale is cut there."""
    if not np.isfinite(values).all():
        raise InvalidError(f"{place} holds NaN or infinity", code="not_finite", param=param)
    return np.rint(values.astype(np.float64) * _FULL).clip(-_FULL, _FULL - 1).astype(np.int16)
