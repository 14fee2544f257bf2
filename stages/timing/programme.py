"""A linear programme over whole numbers of milliseconds, solved by HiGHS (Huangfu & Hall 2018) through scipy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Programme:
    """Variables from 0 up, each with a cost, and linear constraints; the least cost is sought.

    With constraints on differences of times and whole-number bounds every vertex is whole (the matrix is that of a
    network flow's dual), so the solution is, too.
    """

    _costs: list[float] = field(default_factory=list)
    _bounds: list[tuple[int, int | None]] = field(default_factory=list)
    _rows: list[tuple[Mapping[int, int], int]] = field(default_factory=list)

    def variable(self, cost: float, most: int | None = None) -> int:
        """Add a variable between 0 and ``most`` and return its index."""
        self._costs.append(cost)
        self._bounds.append((0, most))
        return len(self._costs) - 1

    def at_most(self, coefficients: Mapping[int, int], limit: int) -> None:
        """Demand that the sum of coefficient times variable is no more than ``limit``."""
        self._rows.append((coefficients, limit))

    def solve(self) -> list[int]:
        """Return the variables' values at the least cost.

        Raises:
            ArithmeticError: no values satisfy the constraints.
        """
        if not self._costs:
            return []
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        cells = [
            (row, variable, coefficient)
            for row, (coefficients, _limit) in enumerate(self._rows)
            for variable, coefficient in coefficients.items()
        ]
        rows, variables, values = zip(*cells, strict=True)
        matrix = csr_array((values, (rows, variables)), shape=(len(self._rows), len(self._costs)))
        result = linprog(
            self._costs,
            A_ub=matrix,
            b_ub=[limit for _coefficients, limit in self._rows],
            bounds=self._bounds,
            method="highs-ds",
        )
        if result.status != 0:
            raise ArithmeticError(f"linear programme: {result.message}")
        return [round(value) for value in result.x]
