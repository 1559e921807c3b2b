"""A voice that the model never heard: understood badly at first, corrected 250 times, and understood.

The recordings are one person's, and the other voices are made from them by playing them faster or slower: known are
three that are close to each other, the new one is high as a child's. `LMAAS_DATA_DIR` may name a folder with real ones,
five people (speech/fsdd_8khz_int16.npz): then one of them is new. What is tested was neither trained on nor corrected.

python examples/unseen_speaker.py
"""

from __future__ import annotations

import io
import os
import wave
import zipfile
from pathlib import Path

import numpy as np

from lmaas import LMaaS
from lmaas.testing import MockServer
from speech import folders, wav

CORRECTIONS = 250
PACES = ((0.9, 1.0, 1.1), (1.45, 1.5, 1.55))
Clips = list[tuple[str, int, bytes]]  # the digit that is said, the number of the take, and a WAV file


def people() -> tuple[Clips, Clips]:
    """Return the clips of the known voices, and those of the new one."""
    whole = Path(os.environ.get("LMAAS_DATA_DIR", "")) / "speech" / "fsdd_8khz_int16.npz"
    if whole.is_file():
        with np.load(whole) as file:
            clips = np.split(file["audio"], file["offset"][1:-1])
            about = list(zip(file["speaker"], file["label"], file["index"].tolist(), clips, strict=True))
        said = [(name, (str(digit), take, wav(clip))) for name, digit, take, clip in about]
        return [clip for name, clip in said if name != "george"], [clip for name, clip in said if name == "george"]
    with zipfile.ZipFile(Path(__file__).parent / "data" / "spoken_digits.zip") as archive:
        read = [(name[0], int(name[2:4]), samples(archive.read(name))) for name in archive.namelist()]
    known, new = ([(d, t, faster(clip, by)) for by in pace for d, t, clip in read] for pace in PACES)
    return known, new


def samples(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:  # of 8 bits, around 128
        return (np.frombuffer(file.readframes(file.getnframes()), dtype=np.uint8) - 128.0) * 256


def faster(clip: np.ndarray, by: float) -> bytes:
    """Return the clip as a WAV file that is played faster, and so higher."""
    return wav(np.interp(np.arange(0, len(clip) - 1, by), np.arange(len(clip)), clip).astype("<i2"))


def main() -> None:
    known, new = people()
    tests = {"the new voice": [c for c in new if c[1] < 3], "the known voices": [c for c in known if c[1] < 3]}
    order = np.random.default_rng(0).permutation(len(new))
    corrected = [new[row] for row in order if new[row][1] >= 3][:CORRECTIONS]
    with MockServer() as server, LMaaS(base_url=server.url) as client:
        training = folders([clip for clip in known if clip[1] >= 3])
        job = client.jobs.wait(client.train(training, name="ear", seed=0))
        client.deploy(job, name="ear")

        def right(clips: Clips) -> float:
            labels = client.predict("ear", [data for *_, data in clips]).labels
            return float(np.mean([label == digit for label, (digit, *_) in zip(labels, clips, strict=True)]))

        before = {name: right(clips) for name, clips in tests.items()}
        prediction = client.predict("ear", [data for *_, data in corrected])
        client.feedback(prediction, labels=[digit for digit, *_ in corrected], idempotency_key="unseen")
        update = client.jobs.wait(client.update("ear"))
        print(f"understood          before   after {len(corrected)} corrections ({(update.result or {})['reason']})")
        for name, clips in tests.items():
            print(f"{name:18}  {before[name]:6.1%}   {right(clips):6.1%}")


if __name__ == "__main__":
    main()
