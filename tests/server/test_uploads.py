"""Files that arrive in parts: every part counts once it was right, and the whole is what was sent."""

from __future__ import annotations

import hashlib
import io
import random
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings

OCTETS = {"Content-Type": "application/octet-stream"}
KIB = 1024
ROWS = b"a,b,label\n" + b"".join(b"%d,%d,%s\n" % (n, n % 7, b"yx"[n % 2 :][:1]) for n in range(400))
PARTS = -(-len(ROWS) // KIB)


@pytest.fixture
def settings_of(tmp_path):
    return {"data_dir": tmp_path / "data", "prewarm": False, "upload_part_kb": 1, "max_uploads": 3}


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def app(settings_of, clock):
    made = create_app(Settings(**settings_of), clock=lambda: clock[0])
    server_of(made).start()
    yield made
    server_of(made).close()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(http, data: bytes = ROWS, **fields):
    answer = http.post("/v1/uploads", json={"filename": "rows.csv", "bytes": len(data), **fields})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def part(data: bytes, number: int) -> bytes:
    return data[(number - 1) * KIB : number * KIB]


def put(http, upload, number: int, data: bytes = ROWS, *, checksum: str | None = None):
    piece = part(data, number)
    path = f"/v1/uploads/{upload['id']}/parts/{number}?sha256={checksum or sha(piece)}"
    return http.put(path, data=piece, headers=OCTETS)


def put_so_far(http, upload, number: int, data: bytes = ROWS, *, piece: bytes | None = None):
    path = f"/v1/uploads/{upload['id']}/parts/{number}?sha256_so_far={sha(data[: number * KIB])}"
    return http.put(path, data=piece or part(data, number), headers=OCTETS)


def complete(http, upload, **body):
    return http.post(f"/v1/uploads/{upload['id']}/complete", json=body)


def error(answer, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    return answer.get_json()["error"]


def test_parts_in_any_order_become_the_file(http):
    upload = begin(http, target={"column": "label"})
    numbers = list(range(1, PARTS + 1))
    random.Random(0).shuffle(numbers)
    for number in numbers:
        assert put(http, upload, number).get_json() == {
            "number": number,
            "bytes": len(part(ROWS, number)),
            "sha256": sha(part(ROWS, number)),
            "sha256_so_far": None,
        }
    made = complete(http, upload, sha256=sha(ROWS)).get_json()
    assert (made["sha256"], made["bytes"], made["rows"]) == (sha(ROWS), len(ROWS), 400)
    with http.get(f"/v1/datasets/{made['id']}/content") as content:
        assert content.data == ROWS


def test_completing_again_gives_the_same_dataset(http):
    upload = begin(http)
    for number in range(1, PARTS + 1):
        put(http, upload, number)
    first, second = complete(http, upload).get_json(), complete(http, upload).get_json()
    found = http.get(f"/v1/uploads/{upload['id']}").get_json()
    assert first == second
    assert (found["status"], found["dataset"], found["parts"]) == ("completed", first["id"], [])
    assert error(put(http, upload, 1), 409)["code"] == "upload_completed"


@pytest.mark.parametrize(("kib", "part_kib"), [(1, 1), (32, 1), (33, 2), (100, 4), (1000, 4), (40_001, 5)])
def test_parts_grow_with_the_file_so_that_there_are_not_too_many(http, kib, part_kib):
    session = http.post("/v1/uploads", json={"filename": "f", "bytes": kib * KIB}).get_json()
    assert part_kib - 1 < session["part_bytes"] / KIB <= part_kib


def test_a_missing_part_is_named(http):
    upload = begin(http)
    for number in {*range(1, PARTS + 1)} - {2, 3}:
        put(http, upload, number)
    refused = error(complete(http, upload), 409)
    assert (refused["code"], refused["param"]) == ("upload_incomplete", "parts")
    assert f"Missing of {PARTS} parts: 2, 3." in refused["message"]


def test_a_part_with_another_checksum_is_refused_and_can_be_sent_again(http):
    upload = begin(http)
    refused = error(put(http, upload, 1, checksum=sha(b"other")), 422)
    assert (refused["code"], refused["param"]) == ("part_checksum_mismatch", "sha256")
    assert http.get(f"/v1/uploads/{upload['id']}").get_json()["parts"] == []
    assert put(http, upload, 1).status_code == 200


def test_a_wrong_part_does_not_spoil_the_one_that_is_there(http):
    upload = begin(http)
    put(http, upload, 1)
    path = f"/v1/uploads/{upload['id']}/parts/1?sha256={sha(part(ROWS, 1))}"
    assert http.put(path, data=b"z" * KIB, headers=OCTETS).status_code == 422
    for number in range(2, PARTS + 1):
        put(http, upload, number)
    assert complete(http, upload).get_json()["sha256"] == sha(ROWS)


@pytest.mark.parametrize(
    ("length", "status", "code"), [(KIB - 1, 400, "part_truncated"), (KIB + 1, 422, "part_too_long")]
)
def test_a_part_has_the_length_that_was_agreed(http, length, status, code):
    upload, data = begin(http), b"q" * length
    answer = http.put(f"/v1/uploads/{upload['id']}/parts/1?sha256={sha(data)}", data=data, headers=OCTETS)
    assert error(answer, status)["code"] == code


@pytest.mark.parametrize("number", ["0", str(PARTS + 1), "one", "-1", "9" * 30, "²"])
def test_a_part_the_file_does_not_have_is_not_found(http, number):
    upload = begin(http)
    answer = http.put(f"/v1/uploads/{upload['id']}/parts/{number}?sha256={sha(b'x')}", data=b"x", headers=OCTETS)
    refused = error(answer, 404)
    assert f"the parts 1 to {PARTS}" in refused["message"]


@pytest.mark.parametrize("query", ["", "?sha256=", "?sha256=abc", "?sha256=" + "A" * 64])
def test_a_part_says_its_checksum(http, query):
    upload = begin(http)
    answer = http.put(f"/v1/uploads/{upload['id']}/parts/1{query}", data=b"x", headers=OCTETS)
    assert error(answer, 422)["param"] == "sha256"


@pytest.mark.parametrize(
    "query", ["sha256_so_far=", "sha256_so_far=" + "g" * 64, f"sha256_so_far={'0' * 64}&sha256={'0' * 64}"]
)
def test_a_part_says_one_checksum_well_formed(http, query):
    upload = begin(http)
    answer = http.put(f"/v1/uploads/{upload['id']}/parts/1?{query}", data=b"x", headers=OCTETS)
    assert error(answer, 422)["param"] == "sha256_so_far"


@pytest.mark.parametrize("seed", range(4))
def test_parts_with_the_checksum_of_the_file_so_far_come_in_any_order_and_beside_others(http, seed):
    upload, chance = begin(http), random.Random(seed)
    for number in chance.sample(range(1, PARTS + 1), PARTS):
        found = chance.choice([put, put_so_far, put_so_far])(http, upload, number)
        assert found.get_json()["number"] == number
    assert complete(http, upload, sha256=sha(ROWS)).get_json()["sha256"] == sha(ROWS)


def test_a_part_that_follows_and_is_another_than_it_said_is_refused_at_once(http):
    upload = begin(http)
    put_so_far(http, upload, 1)
    refused = error(put_so_far(http, upload, 2, piece=b"z" * KIB), 422)
    assert (refused["code"], refused["param"]) == ("part_checksum_mismatch", "sha256_so_far")
    assert "Part 2" in refused["message"]
    assert [found["number"] for found in http.get(f"/v1/uploads/{upload['id']}").get_json()["parts"]] == [1]


def test_a_part_before_which_others_were_missing_is_named_once_it_proves_wrong(http):
    upload = begin(http)
    assert put_so_far(http, upload, 3, piece=b"z" * KIB).status_code == 200
    for number in {*range(1, PARTS + 1)} - {3}:
        assert put_so_far(http, upload, number).status_code == 200
    refused = error(complete(http, upload), 409)
    assert (refused["code"], f"Missing of {PARTS} parts: 3." in refused["message"]) == ("upload_incomplete", True)
    assert put_so_far(http, upload, 3).status_code == 200
    assert complete(http, upload).get_json()["sha256"] == sha(ROWS)


def test_a_part_that_is_here_is_not_overwritten_by_what_comes_with_the_same_checksum(http):
    upload = begin(http)
    put_so_far(http, upload, 1)
    assert put_so_far(http, upload, 1, piece=b"z" * KIB).status_code == 200
    for number in range(2, PARTS + 1):
        put_so_far(http, upload, number)
    assert complete(http, upload).get_json()["sha256"] == sha(ROWS)


def test_the_same_key_finds_the_same_upload_and_its_parts(http):
    body, key = {"filename": "rows.csv", "bytes": len(ROWS)}, {"Idempotency-Key": "once"}
    first = http.post("/v1/uploads", json=body, headers=key).get_json()
    put(http, first, 2)
    again = http.post("/v1/uploads", json=body, headers=key).get_json()
    assert again["id"] == first["id"]
    found = http.get(f"/v1/uploads/{first['id']}").get_json()
    assert [found_part["number"] for found_part in found["parts"]] == [2]


def test_another_checksum_of_the_whole_is_refused(http):
    upload = begin(http)
    for number in range(1, PARTS + 1):
        put(http, upload, number)
    assert error(complete(http, upload, sha256=sha(b"")), 422)["code"] == "checksum_mismatch"


def test_a_file_that_is_not_what_it_claims_names_its_row_and_is_no_dataset(http):
    data = b"a,label\n1,x\n2,y,z\n"
    upload = begin(http, data)
    put(http, upload, 1, data)
    assert "2" in error(complete(http, upload), 422)["message"]
    assert http.get("/v1/datasets").get_json()["data"] == []


def test_an_abandoned_upload_expires_and_is_removed(http, app, clock):
    upload = begin(http)
    put(http, upload, 1)
    clock[0] += 24 * 3600
    assert error(http.get(f"/v1/uploads/{upload['id']}"), 404)["code"] == "upload_not_found"
    begin(http, b"other")
    assert server_of(app).artifacts.exists(f"uploads/{upload['id']}") is False


def test_there_is_a_limit_to_uploads_under_way_and_deleting_makes_room(http):
    uploads = [begin(http) for _ in range(3)]
    body = {"filename": "f", "bytes": 1}
    assert error(http.post("/v1/uploads", json=body), 409)["code"] == "too_many_uploads"
    http.delete(f"/v1/uploads/{uploads[0]['id']}")
    assert http.post("/v1/uploads", json=body).status_code == 200
    assert http.get(f"/v1/uploads/{uploads[0]['id']}").status_code == 404


def test_a_file_over_the_limit_is_refused_before_a_byte_is_sent(http):
    answer = http.post("/v1/uploads", json={"filename": "f", "bytes": 1 << 40})
    assert error(answer, 413)["code"] == "upload_too_large"


def test_a_part_under_way_is_refused_over_a_second_connection(http, app):
    upload = begin(http)
    gate, entered, seen = threading.Event(), threading.Event(), []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            entered.set()
            gate.wait(10)
            return super().read(size)

        read1 = read

    def first() -> None:
        path = f"/v1/uploads/{upload['id']}/parts/1?sha256={sha(part(ROWS, 1))}"
        stream = Slow(part(ROWS, 1))
        seen.append(app.test_client().put(path, input_stream=stream, content_length=KIB, headers=OCTETS).status_code)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    busy = put(http, upload, 1)
    gate.set()
    thread.join()
    assert error(busy, 409)["code"] == "part_in_progress"
    assert (busy.headers.get("x-should-retry"), seen) == ("true", [200])


@pytest.mark.parametrize("send", [put, put_so_far])
def test_uploads_go_on_after_the_server_was_killed(http, app, settings_of, send):
    upload = begin(http)
    send(http, upload, 3)
    server_of(app).lock.release()  # as the system does when the process is gone; nothing else is said goodbye to
    second = create_app(Settings(**settings_of), clock=lambda: 1000.0)
    server_of(second).start()
    try:
        other = second.test_client()
        assert [p["number"] for p in other.get(f"/v1/uploads/{upload['id']}").get_json()["parts"]] == [3]
        for number in {*range(1, PARTS + 1)} - {3}:
            send(other, upload, number)
        assert complete(other, upload).get_json()["sha256"] == sha(ROWS)
    finally:
        server_of(second).close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.dictionaries(
        st.sampled_from(["filename", "bytes", "name", "input", "x"]), st.none() | st.integers() | st.text()
    )
)
def test_whatever_is_announced_is_answered_and_breaks_nothing(http, body):
    answer = http.post("/v1/uploads", json=body)
    assert answer.status_code in {200, 409, 413, 422}
    if answer.status_code == 200:
        http.delete(f"/v1/uploads/{answer.get_json()['id']}")


def test_a_large_array_that_was_spoiled_before_it_was_sent_is_refused_in_whatever_order_it_came(settings_of):
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(600_000, dtype=np.float32))
    good, spoiled = stream.getvalue(), bytearray(stream.getvalue())
    spoiled[len(spoiled) // 2] ^= 1
    app = create_app(Settings(**settings_of | {"upload_part_kb": 512, "read_memory_mb": 1}))
    server_of(app).start()
    http, orders = app.test_client(), ([1, 2, 3, 4, 5], [4, 2, 5, 3, 1])
    kept = [in_parts(http, good, order) for order in orders]
    refused = [in_parts(http, bytes(spoiled), order) for order in orders]
    server_of(app).close()
    assert [answer.status_code for answer in kept] == [200, 200]
    for answer in refused:
        assert answer.status_code == 422
        assert answer.get_json()["error"]["code"] == "dataset_truncated"
        assert "Bad CRC-32 for file 'x.npy'" in answer.get_json()["error"]["message"]


def in_parts(http, data: bytes, order: list[int]):
    upload = begin(http, data, filename="data.npz")
    size = upload["part_bytes"]
    for number in order:
        piece = data[(number - 1) * size : number * size]
        path = f"/v1/uploads/{upload['id']}/parts/{number}?sha256={sha(piece)}"
        assert http.put(path, data=piece, headers=OCTETS).status_code == 200
    return http.post(f"/v1/uploads/{upload['id']}/complete", json={})
