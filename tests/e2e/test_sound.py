"""Sound lives the whole life of a model, over a real socket: WAV files in, corrections and explanations out."""

from __future__ import annotations

import base64
import io
import wave
import zipfile

import numpy as np
import pytest

from lmaas import UnprocessableEntityError
from lmaas.types import AudioCNN, AudioInput, Validation

RATE = 8000
LIGHT = AudioCNN(channels=(8, 16), hidden=32)
WORDS = {"low": 400, "high": 1500}


def wav(hertz: float, *, seconds: float = 0.3, rate: int = RATE) -> bytes:
    samples = np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate) * 12_000
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()


def folders(clips: int = 40, *, rate: int = RATE, **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for word, hertz in WORDS.items():
            for take in range(clips):
                archive.writestr(
                    f"{word}/{take}.wav",
                    wav(hertz * (0.9 + take / clips / 5), seconds=0.2 + take % 3 / 20, rate=rate),
                )
        for name, data in more.items():
            archive.writestr(f"low/{name}", data)
    return stream.getvalue()


@pytest.fixture(scope="module")
def ear(lmaas_server):
    """A deployment that tells low tones from high ones."""
    with lmaas_server.client() as client:
        job = client.jobs.wait(client.train(folders(), name="e2e-ear", architecture=LIGHT, seed=0))
        client.deploy(job, name="e2e-ear")
    return "e2e-ear"


def test_folders_of_wav_files_are_learned_and_bytes_at_any_rate_are_understood(lmaas_client, ear):
    heard = lmaas_client.predict(ear, [wav(420), wav(1450, rate=44_100), wav(1600, seconds=0.5)])
    assert heard.labels == ["low", "high", "high"]


def test_a_dataset_of_sound_says_its_rate_and_shows_its_rows_as_wav_files(lmaas_client):
    dataset = lmaas_client.datasets.create(folders(3))
    assert (dataset.input.kind, dataset.input.sample_rate, dataset.rows) == ("audio", RATE, 6)
    first = next(iter(lmaas_client.datasets.rows(dataset)))
    with wave.open(io.BytesIO(base64.b64decode(first.input["base64"]))) as file:
        assert (file.getframerate(), file.getnframes()) == (RATE, 1600)


def test_clips_of_another_rate_are_resampled_to_the_models_and_measured_as_well(lmaas_client, ear):
    wide = lmaas_client.datasets.create(folders(8, rate=22_050), input=AudioInput(sample_rate=22_050))
    assert wide.input.sample_rate == 22_050
    metrics = lmaas_client.jobs.wait(lmaas_client.evaluate("e2e-ear@1", wide)).metrics
    assert metrics["accuracy"] == 1.0


def test_a_version_is_trained_further_and_validated_on_clips_of_other_rates(lmaas_client, ear):
    wide, wider = (lmaas_client.datasets.create(folders(12, rate=rate)) for rate in (11_025, 16_000))
    validation = Validation(dataset=wider.id)
    job = lmaas_client.train(wide, name=ear, base_model="e2e-ear@1", validation=validation, epochs=1, seed=0)
    assert lmaas_client.jobs.wait(job).metrics["accuracy"] == 1.0
    assert lmaas_client.models.retrieve(f"{ear}@2").input["sample_rate"] == RATE


def test_a_row_that_is_no_sound_is_named_and_its_neighbour_is_heard(lmaas_client, ear):
    first, second = lmaas_client.predict(ear, [b"RIFF", wav(420)]).outputs
    assert first.error.code == "audio_undecodable"
    assert "row 0 is not a WAV file" in first.error.message
    assert second.label == "low"


def test_what_was_heard_is_explained_by_band_and_frame(lmaas_client, ear):
    explanation = lmaas_client.explain(ear, wav(1500))
    row = explanation[0]
    assert np.shape(row.attributions) == np.shape(row.levels)
    assert np.sum(row.attributions) == pytest.approx(row.output - row.baseline_output + row.delta, abs=1e-3)
    assert explanation.text().startswith("high (")


def test_corrections_make_a_new_version_that_hears_a_new_word(lmaas_client, ear):
    shrill = lmaas_client.predict(ear, [wav(2800 + 10 * take, seconds=0.2 + take / 1000) for take in range(100)])
    lmaas_client.feedback(shrill, labels=["shrill"] * 100)
    update = lmaas_client.jobs.wait(lmaas_client.update(ear, seed=0))
    assert update.result["promoted"], update.result
    assert lmaas_client.predict(ear, [wav(2900), wav(400), wav(1500)]).labels == ["shrill", "low", "high"]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("song.wav", b"ID3 no wave", "audio_undecodable"), ("cut.wav", wav(300)[:-9], "audio_truncated")],
)
def test_a_file_that_is_no_whole_wav_is_named_and_nothing_is_kept(lmaas_client, name, data, code):
    before = len(list(lmaas_client.datasets.list()))
    with pytest.raises(UnprocessableEntityError, match=name) as caught:
        lmaas_client.datasets.create(folders(2, **{name: data}))
    assert caught.value.code == code
    assert len(list(lmaas_client.datasets.list())) == before


def test_an_evaluation_gives_a_confusion_matrix_and_figures_of_each_word(lmaas_client, ear):
    metrics = lmaas_client.jobs.wait(lmaas_client.evaluate("e2e-ear@1", folders(5))).metrics
    assert np.shape(metrics["confusion_matrix"]) == (2, 2)
    assert [figures["label"] for figures in metrics["per_class"]] == ["high", "low"]
