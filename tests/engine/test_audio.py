"""Clips of sound: read from zips and npz, turned into features, asked about."""

from __future__ import annotations

import base64
import subprocess
import sys

import numpy as np
import pytest
from engine_sounds import RATE, tone, tones_npz, wav, zipped

from lmaas_server.engine.data.audio import rows
from lmaas_server.engine.data.audio_features import AudioPreprocessing, mel_filters
from lmaas_server.engine.data.clips import restored, stored
from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.log_mel import AudioFeed
from lmaas_server.errors import ServiceError

DESCRIPTION = {"kind": "audio", "sample_rate": RATE, "max_seconds": 60.0}
CLIPS = {"low/a.wav": wav(tone(300)), "low/b.wav": wav(tone(320)), "high/c.wav": wav(tone(1000, seconds=0.5))}


def refused(read, data: bytes, **how) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        read(data, **{"filename": "s.zip", **how})
    return caught.value


def clips_of(*samples: np.ndarray) -> np.ndarray:
    found = np.empty(len(samples), dtype=object)
    for index, clip in enumerate(samples):
        found[index] = clip
    return found


def test_folders_are_classes_and_clips_keep_their_lengths(read):
    examples = read(zipped(CLIPS), filename="s.zip")
    assert examples.classes == ["high", "low"]
    assert examples.targets.tolist() == [0, 1, 1]
    assert [len(clip) for clip in examples.inputs] == [4000, 2400, 2400]
    assert examples.input["kind"] == "audio"
    assert examples.input["longest_seconds"] == 0.5


def test_clips_are_views_of_one_run_of_samples(read):
    examples = read(zipped(CLIPS), filename="s.zip")
    assert {clip.base.size for clip in examples.inputs} == {8800}


def test_all_clips_come_to_the_rate_of_the_first(read):
    mixed = {"a/1.wav": wav(tone(300)), "b/2.wav": wav(tone(300, rate=16_000), rate=16_000)}
    examples = read(zipped(mixed), filename="s.zip")
    assert examples.input["sample_rate"] == RATE
    assert [len(clip) for clip in examples.inputs] == [2400, 2400]


def test_a_rate_may_be_named(read):
    examples = read(zipped(CLIPS), filename="s.zip", input={"kind": "audio", "sample_rate": 16_000})
    assert [len(clip) for clip in examples.inputs] == [8000, 4800, 4800]


def test_an_npz_of_clips_is_told_by_its_arrays(read):
    examples = read(tones_npz(10))
    assert examples.input["kind"] == "audio"
    assert examples.classes == ["high", "low"]
    assert len({len(clip) for clip in examples.inputs}) > 1


def test_a_matrix_of_floats_is_clips_too(read, pack):
    x = np.stack([tone(300), tone(900)]) / 32_768
    spec = {"kind": "audio", "sample_rate": RATE}
    examples = read(pack(x=x.astype(np.float32), y=np.array([0, 1])), input=spec)
    assert np.array_equal(examples.inputs[1], tone(900))


def test_arrays_beside_the_clips_are_left_alone(read, pack):
    data = pack(audio=tone(300), offset=[0, 1200, 2400], label=[0, 1], sample_rate=RATE, speaker=["a", "b"])
    assert len(read(data)) == 2


@pytest.mark.parametrize(
    ("member", "code"),
    [
        (b"RIFF....WAVE", "audio_undecodable"),
        (wav(tone(300))[:-1000], "audio_truncated"),
        (wav(tone(300)[:0]), "audio_empty"),
    ],
)
def test_a_bad_file_in_a_zip_is_named(read, member, code):
    error = refused(read, zipped({**CLIPS, "low/bad.wav": member}))
    assert error.code == code
    assert "low/bad.wav in s.zip" in error.message


def test_a_clip_over_the_limit_is_refused_with_both_durations(read):
    limits = ReadLimits(max_unpacked_bytes=1 << 24, max_clip_seconds=0.4)
    error = refused(read, zipped(CLIPS), limits=limits)
    assert error.code == "audio_too_long"
    assert "0.5 s" in error.message
    assert "0.4 s" in error.message


@pytest.mark.parametrize(
    ("arrays", "code", "param"),
    [
        ({"offset": [0, 10]}, "array_missing", "x"),
        ({"audio": tone(300)}, "array_missing", "offset"),
        ({"audio": tone(300), "offset": [0, 2401]}, "offsets_invalid", "offset"),
        ({"audio": tone(300), "offset": [10, 0]}, "offsets_invalid", "offset"),
        ({"audio": tone(300), "offset": [0, 0, 2400]}, "audio_empty", "audio[0]"),
        ({"audio": tone(300), "offset": [0, 2400], "label": [1, 2]}, "rows_mismatch", "y"),
        ({"audio": np.array([0, np.nan]), "offset": [0, 2]}, "not_finite", "audio"),
        ({"audio": np.array([0, 70_000]), "offset": [0, 2]}, "samples_out_of_range", "audio"),
        ({"audio": tone(300), "offset": [0, 2400], "sample_rate": 3}, "out_of_range", "sample_rate"),
    ],
)
def test_a_bad_array_is_named(read, pack, arrays, code, param):
    arrays = {"sample_rate": RATE} | arrays
    error = refused(read, pack(**arrays), filename="s.npz", input={"kind": "audio"})
    assert (error.code, error.param) == (code, param)


def test_a_rate_that_nobody_says_is_asked_for(read, pack):
    error = refused(read, pack(audio=tone(300), offset=[0, 2400]), filename="s.npz")
    assert (error.code, error.param) == ("array_missing", "sample_rate")


def test_reading_sound_does_not_load_torch():
    code = "import sys, lmaas_server.engine.data.reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_prediction_takes_the_bytes_of_a_wav_at_any_rate_or_samples():
    there = base64.b64encode(wav(tone(300, rate=16_000), rate=16_000)).decode()
    clips, errors = rows([{"base64": there}, tone(300).tolist(), (tone(300) / 32_768).tolist()], DESCRIPTION)
    assert errors == {}
    assert np.abs(clips[0][200:-200].astype(int) - tone(300)[200:-200]).max() < 100
    assert np.array_equal(clips[1], tone(300))
    assert np.array_equal(clips[2], tone(300))


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"base64": "AAAA"}, "audio_undecodable"),
        ({"base64": "?"}, "input_invalid"),
        ({"file": "a.wav"}, "input_invalid"),
        ([[1, 2], [3, 4]], "shape_mismatch"),
        ([[1], [2, 3]], "input_invalid"),
        ([], "audio_empty"),
        (["a"], "input_invalid"),
        ([0.5, 7.0], "samples_out_of_range"),
        (7, "shape_mismatch"),
        (None, "shape_mismatch"),
        ([0] * (61 * RATE), "audio_too_long"),
    ],
)
def test_a_bad_row_is_named_and_its_neighbours_are_read(row, code):
    clips, errors = rows([tone(300).tolist(), row], DESCRIPTION)
    assert errors[1].code == code
    assert "row 1" in errors[1].message
    assert np.array_equal(clips[0], tone(300))


def test_clips_are_stored_as_one_array_and_come_back():
    clips = clips_of(tone(300), tone(900, seconds=0.1))
    back = restored(stored(clips))
    assert [np.array_equal(a, b) for a, b in zip(clips, back, strict=True)] == [True, True]
    assert len(restored(stored(clips_of()))) == 0


def test_the_length_is_fitted_on_the_clips_and_stored():
    fitted = AudioPreprocessing.fit(clips_of(*[tone(300, seconds=s) for s in (0.1, 0.3, 0.3)]), DESCRIPTION)
    assert fitted.samples == pytest.approx(2400, abs=10)
    assert AudioPreprocessing.from_json(fitted.to_json()) == fitted


def test_a_tone_is_loudest_in_its_own_band():
    feed = AudioFeed(AudioPreprocessing(sample_rate=RATE, samples=2400))
    found = [int(feed.rows(clips_of(tone(hertz)))[0].mean(dim=1).argmax()) for hertz in (200, 1000, 3000)]
    assert found == sorted(found)
    peak = mel_filters(RATE, 129, 40)[round(1000 / (RATE / 2) * 128)].argmax()
    assert abs(found[1] - peak) <= 1


def test_features_have_mean_0_and_spread_1_over_the_clip_and_are_0_beyond_it():
    feed = AudioFeed(AudioPreprocessing(sample_rate=RATE, samples=4000))
    clip = tone(300, seconds=0.25)
    levels, covered = feed.rows(clips_of(clip))[0], feed.covered(clip)
    assert levels[:, :covered].mean() == pytest.approx(0, abs=1e-5)
    assert levels[:, :covered].square().mean() == pytest.approx(1, abs=1e-3)
    assert not levels[:, covered:].any()


def test_how_loud_a_clip_is_hardly_matters():
    feed = AudioFeed(AudioPreprocessing(sample_rate=RATE, samples=2400))
    noise = np.random.default_rng(0).normal(size=2400)
    loud, soft = (feed.rows(clips_of((noise * peak).astype(np.int16))) for peak in (8000, 800))
    assert float((loud - soft).abs().mean()) < 0.02


def test_silence_is_no_division_by_zero():
    feed = AudioFeed(AudioPreprocessing(sample_rate=RATE, samples=2400))
    assert not feed.rows(clips_of(np.zeros(2400, dtype=np.int16))).any()
