"""Uploads of pictures: zips of folders and npz arrays."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.reader import preview, rows_from_json
from lmaas_server.errors import ServiceError, TooLargeError


def refused(read, data, **fields):
    with pytest.raises(ServiceError) as caught:
        read(data, filename="pets.zip", **fields)
    return caught.value


def test_the_folder_of_a_picture_is_its_class(read, pictures, png):
    examples = read(pictures({"dog/1.png": png(10), "cat/1.png": png(20), "dog/2.png": png(30)}), filename="pets.zip")
    assert examples.classes == ["cat", "dog"]
    assert examples.targets.tolist() == [0, 1, 1]
    assert examples.inputs[:, 0, 0, 0].tolist() == [20, 10, 30]


def test_a_folder_around_all_and_clutter_are_ignored(read, pictures, png):
    members = {"pets/cat/1.png": png(), "pets/dog/1.png": png(), "__MACOSX/x": b"", "pets/.DS_Store": b"x"}
    assert read(pictures(members), filename="pets.zip").classes == ["cat", "dog"]


def test_all_pictures_take_the_size_and_channels_of_the_first(read, pictures, png):
    members = {"a/1.png": png(), "b/1.jpg": png((200, 0, 0), size=(20, 10), mode="RGB", form="JPEG")}
    assert read(pictures(members), filename="pets.zip").input["shape"] == [8, 8, 1]


def test_size_and_channels_can_be_asked_for(read, pictures, png):
    examples = read(
        pictures({"a/1.png": png()}), filename="z.zip", input={"kind": "image", "size": (4, 6), "channels": 3}
    )
    assert examples.inputs.shape == (1, 4, 6, 3)


def test_sixteen_bit_grey_is_scaled_and_not_clipped(read, pictures):
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16)).save(stream, format="PNG")
    assert read(pictures({"a/1.png": stream.getvalue()}), filename="z.zip").inputs.max() == 0x80


@pytest.mark.parametrize("spoilt", [b"not a picture", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 20, b""])
def test_a_picture_that_does_not_decode_is_named(read, pictures, png, spoilt):
    error = refused(read, pictures({"cat/1.png": png(), "dog/bad.png": spoilt}))
    assert error.code == "image_undecodable"
    assert "dog/bad.png" in error.message


def test_a_truncated_picture_is_named(read, pictures, png):
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)).save(noise, format="PNG")
    error = refused(read, pictures({"cat/1.png": png(), "dog/half.png": noise.getvalue()[:900]}))
    assert error.code == "image_undecodable"
    assert "dog/half.png" in error.message


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../b.png", "C:/x.png"])
def test_a_zip_that_leaves_its_folder_is_refused(read, pictures, png, name):
    error = refused(read, pictures({name: png()}))
    assert error.code == "archive_escapes"
    assert name in error.message


def test_a_link_in_a_zip_is_refused(read, png):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert refused(read, stream.getvalue()).code == "archive_escapes"


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused(read, pictures):
    data = pictures({"a/1.png": b"\0" * (1 << 20)})
    with pytest.raises(TooLargeError) as caught:
        read(data, filename="bomb.zip", limits=ReadLimits(max_unpacked_bytes=1 << 16))
    assert caught.value.code == "archive_too_large"


def test_a_picture_that_claims_to_be_vast_is_not_decoded(read, pictures, png):
    data = bytearray(png())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    error = refused(read, pictures({"a/1.png": bytes(data)}))
    assert error.code in {"image_undecodable", "image_too_large"}


def test_a_picture_outside_every_folder_is_refused(read, pictures, png):
    assert refused(read, pictures({"1.png": png()})).code == "labels_invalid"


def test_a_zip_without_pictures_is_refused(read, pictures):
    assert refused(read, pictures({"a/": b""})).code == "dataset_empty"


def test_values_do_not_come_in_a_zip(read, pictures, png):
    assert refused(read, pictures({"a/1.png": png()}), target={"kind": "value"}).code == "labels_invalid"


def test_a_packing_method_that_cannot_be_bounded_is_refused(read, pictures, png):
    assert refused(read, pictures({"a/1.png": png()}, compression=zipfile.ZIP_LZMA)).code == "archive_method"


def test_an_npz_of_pictures_takes_bytes_and_shares(read):
    grey = read(x=np.full((2, 4, 4), 255, dtype=np.uint8), input={"kind": "image"})
    share = read(x=np.ones((2, 4, 4)), input={"kind": "image"})
    assert grey.input == {"kind": "image", "shape": [4, 4, 1], "dtype": "uint8"}
    assert np.array_equal(grey.inputs, share.inputs)


def test_pixels_out_of_range_are_refused_by_row(read):
    x = np.zeros((3, 4, 4), dtype=np.int32)
    x[1] = 300
    with pytest.raises(ServiceError) as caught:
        read(x=x, input={"kind": "image"})
    assert (caught.value.code, caught.value.param) == ("pixels_out_of_range", "x[1]")


def test_a_picture_is_shown_as_a_png_that_predicts_as_itself(read, pictures, png):
    examples = read(pictures({"a/1.png": png(77)}), filename="z.zip")
    rows, errors = rows_from_json([preview(examples.inputs[0], examples.input)], examples.input)
    assert not errors
    assert np.array_equal(rows, examples.inputs)


def test_bad_rows_are_named_and_their_neighbours_stay(read, pictures, png):
    described = read(pictures({"a/1.png": png()}), filename="z.zip").input
    good = np.full((8, 8), 5).tolist()
    rows, errors = rows_from_json([good, {"base64": "!"}, {"base64": "AAAA"}, [[1]], "x", {"url": "x"}], described)
    assert sorted(errors) == [1, 2, 3, 4, 5]
    assert [errors[i].code for i in (1, 2, 3)] == ["input_invalid", "image_undecodable", "shape_mismatch"]
    assert (rows[0] == 5).all()
