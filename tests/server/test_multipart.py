"""The parts of a form come out as they were put in, however the body is cut into chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.http.multipart import BrokenOffError, NotMultipartError, Part, parts_of

# Made of what a boundary is made of, so that near misses are common.
contents = st.binary(max_size=40) | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"cu", b"cut", b"x"])).map(
    b"".join
)
contents = contents.filter(lambda content: b"\r\n--cut" not in b"\r\n" + content)


def body_of(parts: list[bytes], *, preamble: bytes = b"") -> bytes:
    head = b'--cut\r\nContent-Disposition: form-data; name="p%d"; filename="f"\r\n\r\n'
    return preamble + b"".join(head % n + content + b"\r\n" for n, content in enumerate(parts)) + b"--cut--\r\n"


def read_back(body: bytes, size: int) -> list[tuple[str, bytes]]:
    chunks = iter([body[at : at + size] for at in range(0, len(body), size)])
    found: list[tuple[str, bytes]] = []
    for event in parts_of(lambda: next(chunks, b""), b"cut"):
        if isinstance(event, Part):
            found.append((event.name, b""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + event)
    return found


@given(parts=st.lists(contents, max_size=4), size=st.integers(1, 64))
def test_every_part_comes_out_as_it_was(parts, size):
    assert read_back(body_of(parts), size) == [(f"p{n}", content) for n, content in enumerate(parts)]


@given(parts=st.lists(contents, min_size=1, max_size=2), cut=st.integers(1), size=st.integers(1, 64))
def test_a_body_cut_anywhere_before_its_end_is_noticed(parts, cut, size):
    whole = body_of(parts).removesuffix(b"\r\n")
    with pytest.raises(BrokenOffError):
        read_back(whole[: -1 - cut % (len(whole) - 1)], size)


@given(junk=st.binary(max_size=200), size=st.integers(1, 64))
def test_junk_breaks_off_or_is_no_form_and_nothing_else(junk, size):
    with pytest.raises((BrokenOffError, NotMultipartError)):
        read_back(b"--cut\r\n" + junk.replace(b"--cut", b""), size)


def test_what_precedes_the_first_boundary_is_ignored():
    assert read_back(body_of([b"x"], preamble=b"hello\r\n"), 7) == [("p0", b"x")]


@pytest.mark.parametrize(
    "body",
    [
        b"--cutter\r\n\r\nx\r\n--cut--",
        b"--cut\r\nContent-Type: text/plain\r\n\r\nx\r\n--cut--",
        b'--cut\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--cut--',
        b"--cut\r\nX: " + b"x" * 9000 + b"\r\n\r\n\r\n--cut--",
        b'--cut\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 70 + b"--cut--",
    ],
)
def test_what_is_no_form_is_told_so(body):
    with pytest.raises(NotMultipartError):
        read_back(body, 64)


def test_a_file_s_name_may_hold_what_a_header_must_quote():
    body = body_of([b"x"]).replace(b'filename="f"', 'filename="größe \\"a\\".npz"'.encode())
    (part, _) = parts_of(iter([body, b""]).__next__, b"cut")
    assert part.filename == 'größe "a".npz'
