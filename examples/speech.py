"""Spoken digits: learn from WAV files, understand recordings that were held back, and see what was listened to.

The recordings are one person's, twelve of each digit; `LMAAS_DATA_DIR` may name a folder with the whole set of five
people (speech/fsdd_8khz_int16.npz). A file name as argument, such as speech.png, is where the explanation is drawn.

python examples/speech.py
"""

from __future__ import annotations

import io
import os
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np

from lmaas import LMaaS
from lmaas.testing import MockServer

TEST_TAKES = 3  # of each speaker and digit, the first ones are held back


def recordings() -> list[tuple[str, int, bytes]]:
    """Every recording as its digit, the number of the take, and the bytes of a WAV file."""
    whole = Path(os.environ.get("LMAAS_DATA_DIR", "")) / "speech" / "fsdd_8khz_int16.npz"
    if whole.is_file():
        with np.load(whole) as file:
            clips = np.split(file["audio"], file["offset"][1:-1])
            about = zip(file["label"].tolist(), file["index"].tolist(), clips, strict=True)
            return [(str(digit), take, wav(clip)) for digit, take, clip in about]
    with zipfile.ZipFile(Path(__file__).parent / "data" / "spoken_digits.zip") as archive:
        return [(name[0], int(name[2:4]), archive.read(name)) for name in archive.namelist()]


def wav(samples: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, len(samples), "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def folders(clips: list[tuple[str, int, bytes]]) -> bytes:
    """A zip with a folder for each digit, as it would be made of folders on a disk."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, (digit, _, data) in enumerate(clips):
            archive.writestr(f"{digit}/{number}.wav", data)
    return stream.getvalue()


def main() -> None:
    clips = recordings()
    test = [clip for clip in clips if clip[1] < TEST_TAKES]
    train = [clip for clip in clips if clip[1] >= TEST_TAKES]
    with MockServer() as server, LMaaS(base_url=server.url) as client:
        print(f"1. train on {len(train):,} recordings")
        job = client.jobs.wait(client.train(folders(train), name="spoken-digits", seed=0), progress=True)
        figures = client.jobs.wait(client.evaluate(job, folders(test))).metrics
        print(f"   {figures['accuracy']:.1%} of {len(test):,} others are understood\n")
        print("2. deploy it, and send it the bytes of WAV files")
        client.deploy(job, name="ear")
        some = test[:: len(test) // 6][:6]
        for (digit, _, _), heard in zip(some, client.predict("ear", [data for *_, data in some]).outputs, strict=True):
            print(f"   said {digit}, heard {heard.label} ({heard.score:.0%})")
        print(
            "\n3. what was listened to: high tones above, time to the right; red speaks for the digit, blue against it"
        )
        explanation = client.explain("ear", some[-1][2])
        print(explanation.text(colour=sys.stdout.isatty()))
        if len(sys.argv) > 1:
            explanation.plot(path=sys.argv[1])


if __name__ == "__main__":
    main()
