"""Dataset rows: inserted once, listed, removed."""

from __future__ import annotations

import pytest

from lmaas_server.records import DatasetRecord, PageRequest


@pytest.fixture
def a_dataset():
    def make(number=1, **fields):
        start = {"name": "digits", "format": "npz", "bytes": 9, "sha256": "0" * 64, "rows": 3, "created_at": 1.0}
        return DatasetRecord(**{**start, "input": {"kind": "tensor"}, "target": {}, "id": f"ds-{number}", **fields})

    return make


def test_a_dataset_added_twice_is_there_once_and_the_first_stands(storage, a_dataset):
    first = storage.datasets.add(a_dataset())
    assert storage.datasets.add(a_dataset(name="other")) == first == storage.datasets.get("ds-1")


def test_datasets_are_listed_by_name(storage, a_dataset):
    for number, name in enumerate(["a", "b", "a"]):
        storage.datasets.add(a_dataset(number, name=name))
    assert [d.id for d in storage.datasets.page(PageRequest(), name="a").items] == ["ds-2", "ds-0"]


def test_a_deleted_dataset_is_gone(storage, a_dataset):
    storage.datasets.add(a_dataset())
    assert storage.datasets.delete("ds-1")
    assert not storage.datasets.delete("ds-1")
    assert (storage.datasets.get("ds-1"), storage.datasets.ids()) == (None, set())
