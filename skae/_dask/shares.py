"""Which rank trains on which rows: every n-th row of each batch."""

from typing import NamedTuple

import numpy as np


class Share(NamedTuple):
    """The rows of one rank: of each batch every `n_ranks`-th row, from the one of its number on.

    Places are positions in the order of training, in which a batch is a range of places.
    """

    rank: int
    n_ranks: int
    n_rows: int  # of all ranks
    batch_size: int

    @property
    def batch_rows(self) -> int:
        """The number of rows that this rank has of a full batch."""
        return self._of(self.batch_size)

    @property
    def n_batches(self) -> int:
        return -(-self.n_rows // self.batch_size)

    @property
    def n_own(self) -> int:
        """The number of rows of this rank."""
        full, rest = divmod(self.n_rows, self.batch_size)
        return full * self.batch_rows + self._of(rest)

    def has(self, places: np.ndarray) -> np.ndarray:
        """Return which places are those of this rank. Places below zero are nobody's."""
        return (places >= 0) & (places % self.batch_size % self.n_ranks == self.rank)

    def positions(self, places: np.ndarray) -> np.ndarray:
        """Return the positions of such places among the rows of this rank."""
        batch, place = np.divmod(places, self.batch_size)
        return batch * self.batch_rows + place // self.n_ranks

    def select(self, values: np.ndarray | None) -> np.ndarray | None:
        """Return those of the values of all rows that belong to this rank."""
        return None if values is None else values[self.has(np.arange(self.n_rows))]

    def _of(self, n):
        return max(0, -(-(n - self.rank) // self.n_ranks))


def shares(n_workers: int, n_rows: int, batch_size: int) -> list[Share]:
    """Return the shares of as many ranks as there are workers, or rows in a batch."""
    batch_size = min(batch_size, n_rows)
    n_ranks = min(n_workers, batch_size)
    return [Share(rank, n_ranks, n_rows, batch_size) for rank in range(n_ranks)]
