"""Zips with one folder per class: which members count, and what their folders say. Knows no pictures and no sound."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence

import numpy as np

from lmaas_server.engine.data.archive import Archive
from lmaas_server.engine.data.examples import Array, Json, ReadLimits
from lmaas_server.errors import InvalidError, TooLargeError


def wanted_members(archive: Archive, target: str | None, *, what: str, limits: ReadLimits) -> list[zipfile.ZipInfo]:
    """Return the members that hold rows, by name, without what operating systems leave in archives.

    Raises:
        InvalidError: `labels_invalid`, values are asked of folders; `dataset_empty`.
        TooLargeError: `too_many_rows`.
    """
    if target == "value":
        raise InvalidError(
            f"a zip of {what} names classes by its folders; value targets come in an npz",
            code="labels_invalid",
            param="target",
        )
    members = sorted((info for info in archive.members if not clutter(info.filename)), key=lambda i: i.filename)
    if not members:
        raise InvalidError(f"{archive.filename} holds no {what}", code="dataset_empty", param="file")
    if limits.max_rows is not None and len(members) > limits.max_rows:
        raise TooLargeError(
            f"{archive.filename} holds {len(members):,} {what}; at most {limits.max_rows:,} are taken",
            code="too_many_rows",
            param="file",
        )
    return members


def classes_of_folders(
    members: Sequence[zipfile.ZipInfo], filename: str, target: str | None
) -> tuple[Array | None, Json]:
    """Return the class of each member, an index, and what the targets are; a folder around all of them is ignored.

    Raises:
        InvalidError: `labels_invalid`, a member lies in no folder.
    """
    if target == "none":
        return None, {"kind": "none"}
    labels = []
    for info in members:
        folders = info.filename.split("/")[:-1]
        if not folders:
            raise InvalidError(
                f"{info.filename} in {filename} lies in no folder; the folder of a file names its class",
                code="labels_invalid",
                param="file",
            )
        labels.append(folders[-1])
    classes = sorted(set(labels))
    index_of = {label: index for index, label in enumerate(classes)}
    return np.array([index_of[label] for label in labels], dtype=np.int64), {"kind": "class", "classes": classes}


def clutter(name: str) -> bool:
    """Return whether a member is one that operating systems leave behind."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1].lower() in {"thumbs.db", "desktop.ini"}
