"""Lists fetch page after page as they are iterated over; nothing more than is looked at."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest
from sdk_samples import JOB, answer, finish, listed

from lmaas import InvalidRequestError, LMaaSError
from lmaas._listing import Listing, list_query
from lmaas.types import Job, Page

JOBS = [JOB | {"id": f"job-{n}"} for n in range(5)]


def paged(request: httpx.Request) -> httpx.Response:
    after = request.url.params.get("after")
    start = 0 if after is None else int(after.removeprefix("job-")) + 1
    return httpx.Response(200, json=listed(*JOBS[start : start + 2], more=start + 2 < len(JOBS)))


def test_the_next_page_begins_after_the_last_id():
    listing = Listing("/v1/jobs", Page[Job], (("after", "job-0"), ("limit", "2")), {})
    assert next(listing.page()).query == (("after", "job-0"), ("limit", "2"))
    assert next(listing.page("job-2")).query == (("limit", "2"), ("after", "job-2"))


def test_a_page_without_more_is_the_last():
    listing = Listing("/v1/jobs", Page[Job], (), {})
    flow = listing.page()
    next(flow)
    page = finish(flow, answer(listed(JOB, more=False)))
    assert listing.following(page, None) is None


def test_a_server_that_leads_round_in_a_circle_is_told_so():
    listing = Listing("/v1/jobs", Page[Job], (), {})
    page = Page[Job].model_validate(listed(JOB, more=True))
    with pytest.raises(LMaaSError, match="circle"):
        listing.following(page, "job-1")


def test_iterating_gives_all_items(connect):
    items = connect(paged).jobs.list()
    assert [job.id for job in items] == [job["id"] for job in JOBS] == [job.id for job in items]


def test_only_the_pages_that_are_looked_at_are_fetched(connect):
    seen = []

    def counted(request):
        seen.append(str(request.url))
        return paged(request)

    list(itertools.islice(connect(counted).jobs.list(), 3))
    assert len(seen) == 2


def test_a_page_can_be_had_alone(connect):
    page = connect(paged).jobs.list(limit=2).page()
    assert (len(page.data), page.has_more, page.last_id) == (2, True, "job-1")


def test_async_iteration_gives_all_items(aconnect):
    async def collect():
        items = aconnect(paged).jobs.list()
        return [job.id async for job in items], (await items.page("job-1")).data[0].id

    assert asyncio.run(collect()) == ([job["id"] for job in JOBS], "job-2")


@pytest.mark.parametrize(("name", "wrong"), [("limit", 0), ("limit", 1001), ("order", "up")])
def test_wrong_arguments_are_refused_before_anything_is_sent(name, wrong):
    with pytest.raises(InvalidRequestError, match=name):
        list_query(**{"after": None, "limit": None, "order": None, name: wrong})
