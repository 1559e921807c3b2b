"""Dataset rows; knows nothing of the files they describe."""

from __future__ import annotations

from sqlalchemy import delete, select

from lmaas_server.records import DatasetRecord, PageRequest
from lmaas_server.storage.database import Database
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, insert_new, record_from, values_of
from lmaas_server.storage.tables import datasets

_COLUMNS = columns_of(datasets, DatasetRecord)


class DatasetRepository:
    """The checked datasets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: DatasetRecord) -> DatasetRecord:
        """Store a dataset and return it; one that is there under this id stays and is returned."""
        with self._database.writing() as connection:
            connection.execute(insert_new(connection, datasets).values(**values_of(record)))
            row = connection.execute(select(*_COLUMNS).where(datasets.c.id == record.id)).mappings().one()
        return record_from(DatasetRecord, row)

    def get(self, id: str) -> DatasetRecord | None:
        """Return the dataset, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(datasets.c.id == id)).mappings().one_or_none()
        return None if row is None else record_from(DatasetRecord, row)

    def page(self, page: PageRequest, *, name: str | None = None) -> Page[DatasetRecord]:
        """Return one page of the datasets, of those called `name` if it is given."""
        query = select(*_COLUMNS)
        if name is not None:
            query = query.where(datasets.c.name == name)
        with self._database.reading() as connection:
            rows, more = fetch_page(connection, datasets, query, page, anchor=datasets.c.id == page.after)
        return Page(tuple(record_from(DatasetRecord, row) for row in rows), more)

    def ids(self) -> set[str]:
        """Return the id of every dataset."""
        with self._database.reading() as connection:
            return set(connection.execute(select(datasets.c.id)).scalars())

    def delete(self, id: str) -> bool:
        """Remove the dataset's row; False if there was none."""
        with self._database.writing() as connection:
            return connection.execute(delete(datasets).where(datasets.c.id == id)).rowcount > 0
