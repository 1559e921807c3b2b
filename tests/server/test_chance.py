"""Random ids."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from lmaas_server.chance import random_hex


def test_threads_are_never_given_the_same_digits() -> None:
    """Also where many of them come while the next draw is made."""
    with ThreadPoolExecutor(8) as pool:
        found = [digits for part in pool.map(lambda _: [random_hex() for _ in range(700)], range(8)) for digits in part]
    assert len(set(found)) == len(found) == 5600
    assert all(len(digits) == 24 and int(digits, 16) >= 0 for digits in found)


def test_a_forked_process_is_given_other_digits_than_its_parent() -> None:
    """What the parent drew ahead is not given out twice; in a process of one thread, which may fork."""
    # One write each: print makes two where the output is not buffered, and those of both processes may mix.
    forking = (
        "from lmaas_server.chance import random_hex; import os; random_hex(); os.fork();"
        "os.write(1, (random_hex() + ' ').encode())"
    )
    told = subprocess.run([sys.executable, "-c", forking], check=True, capture_output=True, text=True).stdout.split()
    assert len(told) == len(set(told)) == 2
