"""A filter for text messages, and what it learns when the spammers change their ways.

Trained on real messages of 2006, it has never heard of parcels and wallets. A user reports some, and the next version
knows them. `LMAAS_DATA_DIR` may name a folder with the whole collection (text/SMSSpamCollection.gz).

python examples/spam.py
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from pathlib import Path

from lmaas import LMaaS
from lmaas.testing import MockServer

# Made up for this example; the messages the filter is trained on are real.
WHO = ["DHL", "Royal Mail", "UPS", "the depot", "our courier", "customs"]
WHAT = ["your parcel is held", "your package could not be delivered", "a delivery fee is due", "your parcel waits"]
DO = ["confirm your address at {}", "settle it at {}", "reschedule via {}", "verify your wallet at {}"]
ORDINARY = ["Has the parcel come yet?", "The post was closed, will pick it up later", "Left your package at no 12"]


def messages() -> list[dict[str, str]]:
    whole = Path(os.environ.get("LMAAS_DATA_DIR", "")) / "text" / "SMSSpamCollection.gz"
    if whole.is_file():
        lines = gzip.decompress(whole.read_bytes()).decode().splitlines()
        return [{"label": label, "text": text} for label, text in (line.split("\t", 1) for line in lines)]
    with (Path(__file__).parent / "data" / "sms.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scam(dice: random.Random) -> str:
    link = f"{dice.choice(['track', 'post', 'pay'])}-{dice.randrange(1000)}.{dice.choice(['info', 'top', 'link'])}"
    return f"{dice.choice(WHO)}: {dice.choice(WHAT)}, {dice.choice(DO).format(link)}"


def main() -> None:
    dice = random.Random(2)
    rows = messages()
    dice.shuffle(rows)
    test, train = rows[: len(rows) // 5], rows[len(rows) // 5 :]
    with MockServer() as server, LMaaS(base_url=server.url) as client:
        print(f"1. train on {len(train):,} real messages")
        job = client.jobs.wait(client.train(train, name="spam", seed=0), progress=True)
        assert job.model is not None
        figures = client.jobs.wait(client.evaluate(job.model, test)).metrics
        ham, spam = figures["confusion_matrix"]
        print(f"   {figures['accuracy']:.1%} of {len(test):,} others right: {spam[1]} of {sum(spam)} spam caught,")
        print(f"   {ham[1]} of {sum(ham)} ordinary messages taken for spam\n")

        print("2. deploy it, and meet the present")
        client.deploy(job.model, name="inbox")
        for text in ["Ur mobile no. has won a £2000 prize, call 09061702893", "Lunch at 12?", scam(dice), ORDINARY[0]]:
            answer = client.predict("inbox", text).outputs[0]
            print(f"   {answer.label:>4} {answer.score:4.0%}  {text}")

        print("\n3. users report 240 scams, and say of 60 ordinary messages that they are")
        news = [scam(dice) for _ in range(240)] + [f"{dice.choice(ORDINARY)} {i}" for i in range(60)]
        truth = ["spam"] * 240 + ["ham"] * 60
        client.feedback(client.predict("inbox", news), labels=truth, source="users")
        fresh = [scam(dice) for _ in range(200)]
        before = client.predict("inbox", fresh).labels.count("spam") / len(fresh)
        update = client.jobs.wait(client.update("inbox", seed=0))
        assert update.result is not None
        after = client.predict("inbox", fresh).labels.count("spam") / len(fresh)
        print(f"   {update.model}: {update.result['reason']}; scams found {before:.0%} -> {after:.0%}")
        serving = client.deployments.retrieve("inbox").variants[0].model
        kept = client.jobs.wait(client.evaluate(serving, test)).metrics["accuracy"]
        print(f"   the old messages: {figures['accuracy']:.1%} -> {kept:.1%} right")


if __name__ == "__main__":
    main()
