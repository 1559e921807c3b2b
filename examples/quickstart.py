"""The whole life of a model on real handwritten digits: train, deploy, predict, correct, improve.

python examples/quickstart.py               1,797 digits of 8x8 pixels, a few seconds
python examples/quickstart.py --data mnist  the 70,000 of MNIST
"""

from __future__ import annotations

import argparse

import numpy as np

from handwriting import Images, draw, load, shifted
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import MLP, Prediction


def accuracy(prediction: Prediction, truth: Images) -> float:
    return float(np.mean(np.array(prediction.labels) == truth))


def main(data: str) -> None:
    images, labels = load(data)
    order = np.random.default_rng(0).permutation(len(images))
    corrections, test = (500, 297) if data == "digits" else (2_000, 10_000)
    new, held, rest = np.split(order, [corrections, corrections + test])
    shown = 100 // images.shape[2] if data == "mnist" else 8

    with MockServer() as server, LMaaS(base_url=server.url) as client:
        print(f"1. train on {len(rest):,} {data} of {images.shape[1]}x{images.shape[2]} pixels")
        job = client.train(
            (images[rest], labels[rest]),
            name="digits",
            architecture=MLP(hidden=(512, 512)),
            epochs=30 if data == "digits" else 5,
            seed=0,
        )
        model = client.jobs.wait(job, progress=True).model
        assert model is not None
        test_set = client.datasets.create((images[held], labels[held]), name="test")
        measured = client.jobs.wait(client.evaluate(model, test_set)).metrics
        print(f"   {model}: {measured['accuracy']:.1%} right on {test:,} digits it never saw\n")

        print("2. deploy and predict")
        client.deploy(model, name="digits")
        few = client.predict("digits", images[held[:shown]])
        captions = [f"{label} {score:.0%}" for label, score in zip(few.labels, few.scores, strict=True)]
        print(draw(images[held[:shown]], captions))

        print("\n3. the scanner slips: the same digits arrive further to the right")
        before = accuracy(client.predict("digits", shifted(images[held])), labels[held])
        prediction = client.predict("digits", shifted(images[new]))
        print(draw(shifted(images[new[:shown]]), [f"{label}?" for label in prediction.labels[:shown]]))
        print(f"   {before:.1%} right. {corrections:,} predictions are corrected; only their id is needed")
        client.feedback(prediction, labels=labels[new])

        print("\n4. the model learns from it, behind a gate")
        update = client.jobs.wait(client.update("digits", seed=0), progress=True)
        after = accuracy(client.predict("digits", shifted(images[held])), labels[held])
        kept = accuracy(client.predict("digits", images[held]), labels[held])
        result = update.result or {}
        print(f"   {update.model} promoted: {result['promoted']} ({result['reason']})")
        print(f"   slipped digits  {before:6.1%} -> {after:6.1%}")
        print(f"   upright digits  {measured['accuracy']:6.1%} -> {kept:6.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    main(parser.parse_args().data)
