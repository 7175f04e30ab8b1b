"""What the tables are kept in: transactions, insert-or-read, and errors in our own words; a subclass per dialect.

Every table of ours is written by several threads, processes and hosts at once. What each method promises holds on
both dialects: it is the subclasses' business how.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sqlalchemy import Column, Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from streamguard.errors import ConfigError, KeysUnavailableError

AT_ONCE: Final = 4_000
"""Rows that one statement writes or looks up at most: well below the parameters that either dialect allows."""


def in_parts(keys: Iterable[Any]) -> Iterator[list[Any]]:
    """Different keys in their order, as many at a time as one statement looks up."""
    ordered = sorted(set(keys))
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a database error means. One that lasts is a person's to mend, others may mend themselves."""

    message: str
    remedy: str
    lasts: bool = False


AWAY: Final = Failure("The store does not answer.", "See that its database is there and can be written.")


class Database(ABC):
    """One database. Within its methods every error of the database becomes one of ours, without a cause.

    That is `KeysUnavailableError`; until the database is `opened`, what does not mend itself is a `ConfigError`.
    """

    name: ClassVar[str]
    """What it is called."""

    shared: ClassVar[bool]
    """Whether other hosts use it too. Then people say when older tables are upgraded; otherwise opening does that."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.opened = False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries."""
        with self.answering(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: when this ends without an error it is committed, and on disk."""
        with self.answering(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self, what: str) -> Iterator[Connection]:
        """A transaction in which nobody else, on any host, is `alone` for the same purpose. Others wait their turn."""
        with self.writing() as connection:
            self._take_turn(connection, what)
            yield connection

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        *,
        returning: Column[Any],
    ) -> set[Any]:
        """Insert the rows that break no unique constraint, and leave out the others; one statement for all.

        Returns the column `returning` of the rows that were inserted. A row that another transaction is inserting is
        waited for, so that what is left out can be read by the next statement. Give the rows in an order that is the
        same for all writers (by their unique key), or two of them may wait for each other, and one is refused.
        """
        statement = self._insert_new(table).returning(returning)
        inserted: set[Any] = set()
        for start in range(0, len(rows), AT_ONCE):
            inserted.update(connection.execute(statement, rows[start : start + AT_ONCE]).scalars())
        return inserted

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn an error of the database into ours. `reading`, `writing` and `alone` do so by themselves."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else None
            failure = AWAY if cause is None else self._failure(cause)
            kind = ConfigError if failure.lasts and not self.opened else KeysUnavailableError
            raise kind(failure.message, failure.remedy) from None

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    @abstractmethod
    def before_tables(self) -> None:
        """What is settled for good before the first table is made. Raises ConfigError when it cannot hold them."""

    @abstractmethod
    def forget(self) -> None:
        """Overwrite what was just deleted, as far as this database can; never fails."""

    @abstractmethod
    def _take_turn(self, connection: Connection, what: str) -> None: ...

    @abstractmethod
    def _insert_new(self, table: Table) -> sqlite.Insert | postgresql.Insert: ...

    @abstractmethod
    def _failure(self, cause: BaseException) -> Failure: ...
