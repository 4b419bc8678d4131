"""One row set as the device reads it: integers, floats, and where each of them stands.

A pool holds the rows of its tables in two arrays, `integers` (rows, Record.integers) int64 and
`floats` (rows, Record.floats) float32. Output row i reads the columns of its mask and no others:
an absent term has no bit, so what it would have read is never touched.

integers  HEADER | sources B | pages E | tap pages T | recorded 4 | masks OUTPUTS | products 16 x 5
floats    matrix OUTPUTS x columns | op arguments 4 | gains 16 | scales B | times B | scalars B x 4
"""

from __future__ import annotations

from typing import NamedTuple

from denoisert.kernels.step.form import ARGUMENTS, DRAWS, Form

# Positions in the header.
DRAW_BASE = 0  # draw index of xi_0
OPERATIONS = 1  # codes of D_0 and D_1
PRODUCTS = 3  # how many
RULE = 4  # id of the guidance rule, 0 = none
RULE_VECTORS = 5  # M
PENDING = 6  # physical register of R_0 after the row
STORED = 7  # bit i: register i is written
TAPPED = 8  # bit t: tap t is written
ASKS = 9  # lanes that the row evaluates
FOLLOWED = 10  # 1 if the table has a next row
HEADER = 16

MOST_PRODUCTS = 16
PRODUCT = 5  # register, column of the map or -1, column of the source, first, last + 1
SCALARS = 4
RULE_ARGS = 8


class Record(NamedTuple):
    """Where everything stands in the two arrays of a column space."""

    form: Form

    def __repr__(self) -> str:
        """Every position: Triton's cache on disk knows a constant by nothing but its text."""
        form = self.form
        columns = (form.estimate(0), form.draw(0), form.external(0), form.one, form.columns)
        rows = (form.argument_row(0), form.register_row(0), form.tap_row(0), form.rows)
        own = {
            k: getattr(self, k) for k, kind in vars(Record).items() if isinstance(kind, property)
        }
        return f"Record({form}, columns={columns}, rows={rows}, {own})"

    @property
    def has_operations(self) -> bool:
        """Whether kernels of this space know operations and products."""
        return self.form.externals > 0

    @property
    def is_wide(self) -> bool:
        """Whether kernels loop over the columns instead of unrolling them."""
        return self.form.branches > 4

    @property
    def outputs(self) -> int:
        """Rows of the matrix: the form's, and G itself for products that read it."""
        return self.form.rows + 1

    @property
    def sources(self) -> int:
        """Physical register of each lane's network input, at most B."""
        return HEADER

    @property
    def pages(self) -> int:
        """Page of each external, E."""
        return self.sources + self.form.branches

    @property
    def tap_pages(self) -> int:
        """Page of each tape, T."""
        return self.pages + self.form.externals

    @property
    def recorded(self) -> int:
        """External of each draw that is read from outside or -1, then its page: 2 x 2."""
        return self.tap_pages + self.form.taps

    @property
    def masks(self) -> int:
        """Columns that each row of the matrix reads, a bit each."""
        return self.recorded + 2 * DRAWS

    @property
    def products(self) -> int:
        """16 products of 5 integers."""
        return self.masks + self.outputs

    @property
    def integers(self) -> int:
        """Integers of one row set."""
        return self.products + MOST_PRODUCTS * PRODUCT

    @property
    def operation_args(self) -> int:
        """Arguments a, b of D_0 and D_1, behind the matrix."""
        return self.outputs * self.form.columns

    @property
    def gains(self) -> int:
        """Factor of each product."""
        return self.operation_args + 2 * ARGUMENTS

    @property
    def scales(self) -> int:
        """Scale of each lane's network input."""
        return self.gains + MOST_PRODUCTS

    @property
    def times(self) -> int:
        """Model time of each lane."""
        return self.scales + self.form.branches

    @property
    def scalars(self) -> int:
        """Further scalars of each lane."""
        return self.times + self.form.branches

    @property
    def floats(self) -> int:
        """Floats of one row set."""
        return self.scalars + SCALARS * self.form.branches


# The column spaces that kernels are compiled for; a pool takes the smallest that holds its tables.
# Only a space with externals has operations and products.
FORMS = (Form(4, 2, 0, 1), Form(4, 4, 4, 2), Form(8, 16, 16, 4))

# Columns of a slot's state, int32.
OFFSET, COUNTER, KEY_LOW, KEY_HIGH, IMAGE, PURPOSE, STATUS, ARRIVED = range(8)
STATE = 8
IDLE = -1  # offset of a slot without work

# Columns of a tile, int32: elements first .. last - 1 of one part and channel, from `start` on.
START, FIRST, LAST, PART, CHANNEL = range(5)
TILE = 8


def lane_width(parts: int) -> int:
    """Addresses of one branch and the lane of its number.

    The branch's prediction in every part, then the lane's input in every part, time and scalars.
    A slot has at most as many lanes as branches.
    """
    return 2 * parts + 1 + SCALARS
