"""Processes that are one server: one begins first, one leads, and the dead are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from lmaas_server.storage.crew import Crew

MEMBER = """
import sys
from pathlib import Path
from lmaas_server.storage.crew import Crew
crew = Crew(Path(sys.argv[1]), server="s")
crew.lead()
print(crew.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def join(tmp_path):
    """Join a crew, as processes of the server `s` or of another."""
    members: list[Crew] = []

    def joining(server: str = "s") -> Crew:
        members.append(Crew(tmp_path / "crew", server=server))
        return members[-1]

    yield joining
    for member in members:
        member.leave()


@pytest.fixture
def killed(tmp_path):
    """The name of a member that led and was killed."""
    command = [sys.executable, "-c", MEMBER, str(tmp_path / "crew")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        assert not Crew(tmp_path / "crew", server="s").lead()
        os.kill(process.pid, signal.SIGKILL)
    return name


def test_the_first_of_a_server_is_told_so_and_the_others_are_not(join):
    for expected in (True, False, False):
        with join().gathering() as first:
            assert first is expected
    with join("another start").gathering() as first:
        assert first


def test_who_failed_to_begin_was_not_the_first(join):
    with pytest.raises(ValueError, match="no"), join().gathering():
        raise ValueError("no")
    with join().gathering() as first:
        assert first


def test_one_begins_while_the_others_wait(join):
    first, second, order = join(), join(), []

    def begin() -> None:
        with second.gathering():
            order.append("second")

    with first.gathering():
        waiting = threading.Thread(target=begin)
        waiting.start()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_one_leads_until_it_leaves(join):
    first, second = join(), join()
    assert first.lead()
    assert first.lead()
    assert not second.lead()
    first.leave()
    assert second.lead()


def test_another_leads_as_soon_as_the_leader_is_dead(join, killed):
    assert join().lead()


def test_the_dead_are_found_once_and_the_living_never(join, killed):
    member, other = join(), join()
    assert member.lost() == [killed]
    assert other.lost() == member.lost() == []


def test_figures_are_read_by_the_others_as_they_grow(join):
    member, other = join(), join()
    mine = member.tell("log")
    told = other.told("log", known={})
    mine.first, mine.second = 2**40, 7
    assert (told[member.name].first, told[member.name].second) == (2**40, 7)
    assert member.told("log", known={}) == {}


def test_figures_of_the_dead_and_of_who_left_are_gone(join):
    member, other = join(), join()
    member.tell("log")
    known = other.told("log", known={})
    member.leave()
    assert other.told("log", known=known) == {}


def test_notes_are_read_by_the_others_and_outlive_their_member(join):
    member, other = join(), join()
    member.note("sums", b"1")
    member.note("sums", b"2")
    member.leave()
    assert other.notes("sums") == {member.name: b"2"}
    assert other.lives(other.name)
    assert not other.lives(member.name)


def test_what_an_earlier_server_left_is_cleared_by_the_first(join):
    member = join()
    member.note("sums", b"1")
    member.leave()
    with join("another start").gathering():
        assert join("another start").notes("sums") == {}


def test_a_word_is_heard_once(join):
    member, other = join(), join()
    assert not other.called("prewarm")
    member.call("prewarm")
    assert other.called("prewarm")
    assert not other.called("prewarm")
