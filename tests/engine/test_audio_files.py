"""WAV files: every width in, the same samples out; whatever is no WAV is named."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from engine_sounds import RATE, tone, wav
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.data.resampling import resample, resampled_length
from lmaas_server.engine.data.wav import decode, encode, read_header
from lmaas_server.errors import InvalidError, ServiceError, TooLargeError

TONE = tone(440)


def decoded(data: bytes, *, max_seconds: float = 60.0):
    return decode(data, "a.wav", "file", max_seconds=max_seconds)


def riff(form: bytes, body: bytes, *, size: int | None = None) -> bytes:
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(body) if size is None else size) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def plain(tag: int, bits: int, *, channels: int = 1, rate: int = RATE) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)


def test_sixteen_bits_come_back_as_they_are():
    samples, rate = decoded(wav(TONE))
    assert rate == RATE
    assert np.array_equal(samples, TONE)


@pytest.mark.parametrize(
    ("width", "stored"),
    [
        (1, ((TONE >> 8) + 128).astype(np.uint8)),
        (3, (TONE.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3]),
        (4, TONE.astype("<i4") << 16),
    ],
)
def test_other_widths_come_as_sixteen_bits(width, stored):
    samples, _ = decoded(wav(np.ascontiguousarray(stored), width=width))
    assert np.array_equal(samples, (TONE >> 8) << 8 if width == 1 else TONE)


@pytest.mark.parametrize("bits", [32, 64])
def test_floats_are_shares_of_full_scale(bits):
    samples, _ = decoded(riff(plain(3, bits), (TONE / 32_768).astype(f"<f{bits // 8}").tobytes()))
    assert np.array_equal(samples, TONE)


def test_the_extensible_header_of_audio_editors_is_read():
    form = plain(0xFFFE, 24) + struct.pack("<HHI", 22, 24, 4) + struct.pack("<H", 1) + bytes(14)
    body = (TONE.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    assert np.array_equal(decoded(riff(form, body))[0], TONE)


def test_stereo_becomes_the_mean_of_its_channels():
    both = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    samples, _ = decoded(wav(both, channels=2))
    assert np.abs(samples - TONE / 2).max() <= 0.5


def test_a_file_of_a_stream_plays_to_its_end():
    assert len(decoded(riff(plain(1, 16), TONE.tobytes(), size=0xFFFFFFFF))[0]) == len(TONE)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "audio_undecodable"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "audio_undecodable"),
        (wav(TONE)[:-100], "audio_truncated"),
        (wav(TONE[:0]), "audio_empty"),
        (wav(TONE)[:30], "audio_undecodable"),
        (riff(plain(7, 8), bytes(100)), "audio_unsupported"),
        (riff(plain(1, 16, channels=0), bytes(100)), "audio_undecodable"),
        (riff(plain(3, 32), np.array([np.nan], "<f4").tobytes()), "not_finite"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(data, code):
    with pytest.raises(InvalidError, match=r"a\.wav") as caught:
        decoded(data)
    assert caught.value.code == code


def test_a_clip_of_three_hours_is_refused_with_both_durations():
    """Its header alone says so: nothing of that size is read."""
    data = riff(plain(1, 16), b"", size=3 * 3600 * RATE * 2)
    with pytest.raises(TooLargeError, match=r"3 h 0 min.*at most 1 min 0 s") as caught:
        decoded(data)
    assert caught.value.code == "audio_too_long"


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: wav(TONE[:50])[:44] + tail))
def test_no_bytes_break_the_reader(data):
    try:
        samples, rate = decoded(data)
    except ServiceError:
        return
    assert samples.dtype == np.int16
    assert len(samples)
    assert rate > 0


def test_what_is_encoded_is_what_is_decoded():
    assert np.array_equal(decoded(encode(TONE, RATE))[0], TONE)
    assert read_header(encode(TONE, RATE), "", "").seconds(0) == pytest.approx(0.3)


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 8000), (8000, 16_000), (22_050, 16_000), (48_000, 16_000)])
def test_a_tone_is_the_same_tone_at_another_rate(rate, wanted):
    there = resample(tone(440, rate=rate), rate, wanted)
    expected = tone(440, rate=wanted)
    assert len(there) == resampled_length(round(0.3 * rate), rate, wanted) == len(expected)
    inner = slice(200, -200)  # at its ends a filter meets silence
    assert np.abs(there[inner].astype(int) - expected[inner]).max() < 0.01 * 16_384


def test_what_a_lower_rate_cannot_hold_is_filtered_out():
    there = resample(tone(6000, rate=44_100), 44_100, 8000)
    assert np.abs(there[200:-200]).max() < 0.002 * 16_384
