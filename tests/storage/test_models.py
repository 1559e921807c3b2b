"""Versions: numbered once, registered once, found by every name they go by."""

from __future__ import annotations

import threading

import pytest

from lmaas_server.errors import InvalidError, MissingError
from lmaas_server.records import PageRequest


def test_versions_count_from_one_for_each_name(add_version):
    assert [add_version(name).id for name in ("a", "a", "b", "a")] == ["a@1", "a@2", "b@1", "a@3"]


def test_a_job_registers_one_version_however_often_it_is_committed(storage, add_version):
    first = add_version(lineage={"job": "job-1"})
    assert add_version(lineage={"job": "job-1"}) == first
    assert storage.models.ids() == {"digits@1"}
    assert storage.models.by_job("job-1") == first


def test_many_who_register_at_once_get_a_version_each(add_version):
    found = []
    threads = [threading.Thread(target=lambda: found.append(add_version().version)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 9))


def test_a_version_whose_files_cannot_be_placed_is_not_registered(storage, add_version):
    def full(record):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        add_version(place=full)
    assert storage.models.ids() == set()
    assert add_version().id == "digits@1"


def test_the_number_of_a_deleted_version_is_never_given_again(storage, add_version):
    add_version()
    add_version()
    assert storage.models.delete("digits@2")
    assert not storage.models.delete("digits@2")
    assert add_version().id == "digits@3"


def test_a_reference_is_a_version_an_alias_the_newest_or_a_name(storage, add_version):
    for _ in range(3):
        add_version()
    storage.models.set_alias("digits", "champion", 2, now=1.0)
    found = [storage.models.resolve(ref).version for ref in ("digits@1", "digits@champion", "digits@latest", "digits")]
    assert found == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("digits@9", "versions 1, 2 and the aliases champion"),
        ("digits@boss", "versions 1, 2"),
        ("digits@01", "versions 1, 2"),
        ("letters", "there are digits"),
        ("@", "there are digits"),
    ],
)
def test_a_reference_to_nothing_is_told_what_there_is(storage, add_version, reference, told):
    add_version()
    add_version()
    storage.models.set_alias("digits", "champion", 1, now=1.0)
    with pytest.raises(MissingError, match=told) as caught:
        storage.models.resolve(reference, param="base_model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "base_model")


def test_an_alias_moves_from_one_version_to_another_and_can_be_dropped(storage, add_version):
    add_version()
    add_version()
    for version in (1, 2):
        assert storage.models.set_alias("digits", "champion", version, now=1.0).aliases == ("champion",)
    assert storage.models.get("digits@1").aliases == ()
    assert storage.models.drop_alias("digits", "champion")
    assert not storage.models.drop_alias("digits", "champion")


@pytest.mark.parametrize("alias", ["latest", "7"])
def test_a_word_that_already_means_a_version_is_no_alias(storage, add_version, alias):
    add_version()
    with pytest.raises(InvalidError, match="already means a version"):
        storage.models.set_alias("digits", alias, 1, now=1.0)


def test_an_alias_goes_with_the_version_it_points_at(storage, add_version):
    add_version()
    storage.models.set_alias("digits", "champion", 1, now=1.0)
    storage.models.delete("digits@1")
    with pytest.raises(MissingError):
        storage.models.resolve("digits@champion")


def test_versions_are_listed_by_name_and_by_alias(storage, add_version):
    for name in ("a", "b", "a"):
        add_version(name)
    storage.models.set_alias("a", "champion", 1, now=1.0)
    assert [model.id for model in storage.models.page(PageRequest()).items] == ["a@2", "b@1", "a@1"]
    assert [model.id for model in storage.models.page(PageRequest(after="a@2"), name="a").items] == ["a@1"]
    assert [model.id for model in storage.models.page(PageRequest(), alias="champion").items] == ["a@1"]
