"""Heads of requests: what a client may write is read, and what servers disagree about is refused."""

from __future__ import annotations

import io

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmaas_server.http.heads import Address, BadHeadError, head_of

HOST = "Host: x"


def raw(*fields: str, first: str = "POST /v1/models?limit=1 HTTP/1.1") -> bytes:
    return "\r\n".join((first, *fields)).encode("latin-1")


def test_a_request_becomes_what_wsgi_wants():
    head = head_of(raw(HOST, "Content-Type: a/b", "content-length:  12 ", "X-Two: a", "x-two: b"))
    environ = head.environ(Address("127.0.0.1", "8000", "10.0.0.1"), io.BytesIO())
    wanted = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models", "QUERY_STRING": "limit=1", "SERVER_PORT": "8000"}
    wanted |= {"CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "12", "HTTP_X_TWO": "a,b", "REMOTE_ADDR": "10.0.0.1"}
    assert environ.items() >= wanted.items()
    assert (head.length, head.chunked, head.keeps, head.has_body) == (12, False, True, True)


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a%20b/%C3%A9", "/a b/\xc3\xa9"), ("/a%zz", "/a%zz"), ("http://h:1/p", "/p"), ("http://h", "/"), ("*", "*")],
)
def test_paths_are_decoded_to_their_bytes(target, path):
    assert head_of(raw(HOST, first=f"GET {target} HTTP/1.1")).path == path


@pytest.mark.parametrize(
    ("version", "said", "keeps"),
    [
        ("1.1", None, True),
        ("1.1", "Close", False),
        ("1.1", "te, close", False),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
    ],
)
def test_a_connection_goes_on_as_the_version_has_it(version, said, keeps):
    fields = (HOST, *([f"Connection: {said}"] if said else []))
    assert head_of(raw(*fields, first=f"GET / HTTP/{version}")).keeps is keeps


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 1", "Transfer-Encoding: chunked"),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: 1", "Content-Length: 1"),
        ("Content-Length: +1",),
        ("Content-Length: 0x1",),
        ("Content-Length: ",),
        ("Content-Length: \xb2",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Content-Length : 1",),
        (" Content-Length: 1",),
        ("A: b\nContent-Length: 1",),
        ("A: b\rContent-Length: 1",),
        ("A: \0",),
        ("no colon",),
        (": nameless",),
        ("Host: y",),
    ],
)
def test_what_could_hide_a_request_is_refused(fields):
    with pytest.raises(BadHeadError):
        head_of(raw(HOST, *fields))


@pytest.mark.parametrize(
    "first", ["GET /", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "GET a HTTP/1.1", "G(T / HTTP/1.1", ""]
)
def test_a_first_line_that_is_none_is_refused(first):
    with pytest.raises(BadHeadError):
        head_of(raw(HOST, first=first))


def test_a_request_names_its_host_except_in_the_first_version():
    with pytest.raises(BadHeadError):
        head_of(raw())
    assert head_of(raw(first="GET / HTTP/1.0")).version == "1.0"


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_head_or_is_refused(junk):
    for sent in (junk, b"GET / HTTP/1.1\r\nHost: x\r\n" + junk):
        try:
            head = head_of(sent)
        except BadHeadError as exc:
            said = exc.status
        else:
            said = 200
            assert not any(c in value for value in head.variables.values() for c in "\r\n\0")
        assert said in {200, 400, 431, 501}


def test_a_name_with_an_underscore_is_not_taken_for_the_one_with_a_hyphen():
    head = head_of(raw(HOST, "Content_Length: 5", "Transfer_Encoding: chunked", "X_Api_Key: a", "X-Api-Key: b"))
    assert (head.length, head.chunked, head.variables["HTTP_X_API_KEY"]) == (None, False, "b")


NAMES = st.sampled_from(
    ["Host", "Content-Length", "Transfer-Encoding", "Connection", "X-A", "x-b", "a b", "", "X-\xe9"]
)
VALUES = st.sampled_from(
    ["x", "1", " 12\t", "0", "-1", "1,1", "chunked", "gzip, chunked", "close", "a\tb", "\xe9", "a\0"]
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([":", ": ", " :", ""]), VALUES).map("".join), max_size=5)
FIRST = st.builds(
    "{} {} {}".format,
    st.sampled_from(["GET", "POST", "M-SEARCH", "G T", ""]),
    st.sampled_from(["/", "/a%20b?c=d", "http://h/p?q", "*", "/\xe9", "/a b", "//h/p"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1"]),
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"])


@given(FIRST, FIELDS, st.booleans(), ENDS)
@example("GET / HTTP/1.1", ["Content-Length: 1", "Content-Length: 1"], True, "\r\n")
def test_what_is_read_here_another_reader_of_http_reads_as_the_same_request(first, fields, with_host, end):
    sent = end.join([first, *([HOST] if with_host else []), *fields]).encode("latin-1")
    try:
        head = head_of(sent)
    except BadHeadError:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(sent + b"\r\n\r\n")
    theirs = other.next_event()
    said = dict(theirs.headers)
    length = int(said[b"content-length"]) if b"content-length" in said else None
    assert (head.method, head.version) == (theirs.method.decode(), theirs.http_version.decode())
    assert (head.length, head.chunked) == (length, b"transfer-encoding" in said)
    if head.version == "1.1":  # of older ones the other keeps no connection
        assert head.keeps == (b"close" not in said.get(b"connection", b""))
