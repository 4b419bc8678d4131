"""Rows of all live tables in one store of fixed size, shared by slots that run the same table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from denoisert.runtime.sampling.table import SamplerTable


@dataclass(slots=True)
class Lease:
    """A table's place in the arena.

    Args:
        table: whose rows they are.
        offset: first row.
        references: slots that run it; at 0 the rows may be overwritten.
    """

    table: SamplerTable
    offset: int
    references: int = 0

    @property
    def end(self) -> int:
        """Last row + 1."""
        return self.offset + self.table.stages + 1


class Arena:
    """First-fit allocation of row ranges with reference counts.

    A table nobody runs keeps its rows until their place is wanted, so that the next request finds
    them.

    Args:
        capacity: rows in all.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._leases: dict[str, Lease] = {}

    def acquire(self, table: SamplerTable) -> tuple[Lease, bool] | None:
        """A place for a table.

        Args:
            table: the table to hold.

        Returns:
            The lease and whether its rows must still be written, or None while there is no room.
        """
        lease = self._leases.get(table.fingerprint)
        is_new = lease is None
        if lease is None:
            offset = self._room(table.stages + 1)
            if offset is None:
                return None
            lease = self._leases[table.fingerprint] = Lease(table, offset)
        lease.references += 1
        return lease, is_new

    def fits(self, table: SamplerTable, without: Sequence[SamplerTable] = ()) -> bool:
        """Whether a table would have a place if some references were given back.

        Args:
            table: the table to hold.
            without: tables of the references, one entry for each.
        """
        freed = Counter(each.fingerprint for each in without)
        held = {
            name: lease for name, lease in self._leases.items() if lease.references > freed[name]
        }
        return table.fingerprint in held or _gap(held, table.stages + 1, self.capacity) is not None

    def release(self, table: SamplerTable) -> None:
        """Give one reference back."""
        self._leases[table.fingerprint].references -= 1

    def forget(self, table: SamplerTable) -> None:
        """Give one reference back, and with the last one the place: it may hold no rows."""
        self.release(table)
        if self._leases[table.fingerprint].references == 0:
            del self._leases[table.fingerprint]

    @property
    def leases(self) -> tuple[Lease, ...]:
        """Every table whose rows are in the arena."""
        return tuple(self._leases.values())

    def _room(self, rows: int) -> int | None:
        offset = _gap(self._leases, rows, self.capacity)
        while offset is None:
            idle = [name for name, lease in self._leases.items() if lease.references == 0]
            if not idle:
                return None
            del self._leases[idle[0]]
            offset = _gap(self._leases, rows, self.capacity)
        return offset


def _gap(leases: Mapping[str, Lease], rows: int, capacity: int) -> int | None:
    """The first place between leases that has room for some rows."""
    start = 0
    for lease in sorted(leases.values(), key=lambda lease: lease.offset):
        if lease.offset - start >= rows:
            return start
        start = lease.end
    return start if capacity - start >= rows else None
