"""A table of people: who earns more than 50,000 dollars? From a csv as it is, with gaps, to a model watched by groups.

The columns' types are told from their values; what is missing, and a category nobody has seen, is no error.
`LMAAS_DATA_DIR` may name a folder with the whole of UCI Adult (tabular/adult-train.csv.gz).

python examples/income.py
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from pathlib import Path

from lmaas import LMaaS
from lmaas.testing import MockServer

HERE = Path(__file__).parent / "data" / "adult.csv"


def people() -> list[dict[str, str]]:
    with HERE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = Path(os.environ.get("LMAAS_DATA_DIR", "")) / "tabular" / "adult-train.csv.gz"
    if not whole.is_file():
        return rows
    names = [*list(rows[0])[:2], "weight", *list(rows[0])[2:]]  # of the survey, not of the person: left out
    with gzip.open(whole, "rt", encoding="utf-8", newline="") as file:
        found = [dict(zip(names, row, strict=True)) for row in csv.reader(file, skipinitialspace=True) if row]
    return [{name: row[name] for name in rows[0]} for row in found]


def main() -> None:
    rows = people()
    random.Random(0).shuffle(rows)
    test, train = rows[: len(rows) // 4], rows[len(rows) // 4 :]
    with MockServer() as server, LMaaS(base_url=server.url) as client:
        data = client.datasets.create(train, name="adult", target="income")
        print(f"1. {data.rows:,} people; what the server found in the file")
        for column in data.input.columns or []:
            shown = ", ".join((column.categories or [])[:4])
            gaps = f"{column.missing} missing" if column.missing else ""
            print(f"   {column.name:15} {column.type:9} {gaps:12} {shown}")

        print("\n2. train, and measure on people it never saw, by group")
        job = client.jobs.wait(client.train(data, name="income", seed=0), progress=True)
        assert job.model is not None
        held = client.datasets.create(test, name="held-out", target="income")
        metrics = client.jobs.wait(client.evaluate(job.model, held, slice_by="sex")).metrics
        usual = max(sum(row) for row in metrics["confusion_matrix"]) / metrics["rows"]
        print(f"   {metrics['accuracy']:.1%} right ({usual:.1%} by always saying the same)")
        for group in metrics["slices"]["values"]:
            name, rows, right = group["value"], group["rows"], group["accuracy"]
            print(f"   {name:7} {rows:6,} people  {right:.1%} right  F1 {group['macro_f1']:.2f}")

        print("\n3. deploy and ask; a row says what it knows")
        client.deploy(job.model, name="income")
        someone = {"age": 44, "education": "Masters", "occupation": "Exec-managerial", "hours_per_week": 50}
        cases = {
            "a manager": someone,
            "and married": {**someone, "marital_status": "Married-civ-spouse", "relationship": "Husband"},
            "a student of 19": {"age": 19, "education": "Some-college", "hours_per_week": 12},
            "a job nobody knew": {"age": 40, "education": "Bachelors", "occupation": "Prompt-engineer"},
            "a mistake": {"age": "forty"},
        }
        answers = client.predict("income", list(cases.values())).outputs
        for name, answer in zip(cases, answers, strict=True):
            said = answer.error.message if answer.error else f"{answer.label:>5} {answer.score:4.0%}"
            print(f"   {name:18} {said}")


if __name__ == "__main__":
    main()
