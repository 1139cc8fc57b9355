"""What the tour claims, whether each claim was kept, and the figures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figure:
    """One figure, as docs/architecture.md says figures look."""

    name: str
    value: float
    unit: str
    goal: str | None
    met: bool | None
    how: str

    def as_json(self) -> str:
        """One line."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


@dataclass(slots=True)
class Report:
    """Collects and prints. On a table for people, each claim is printed when it is known."""

    quiet: bool = False
    kept: int = 0
    broken: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def scene(self, title: str) -> None:
        """Begins a part of the tour."""
        self._say(f"\n{title}")

    def claim(self, text: str, kept: bool, seen: object = "") -> None:
        """Something that must be so.

        Args:
            text: what is claimed.
            kept: whether it is so.
            seen: what was seen, for people.
        """
        if kept:
            self.kept += 1
        else:
            self.broken.append(f"{text} (seen: {seen})")
        self._say(f"  {'ok    ' if kept else 'BROKEN'}  {text:<66}  {seen}")

    def skip(self, text: str, why: str) -> None:
        """Something that cannot be shown on this machine."""
        self.skipped.append(text)
        self._say(f"  --      {text:<66}  not shown: {why}")

    def figure(
        self,
        name: str,
        value: float,
        unit: str,
        how: str,
        goal: str | None = None,
        met: bool = True,
    ) -> None:
        """A measured figure; `met` counts only where there is a goal."""
        self.figures.append(Figure(name, value, unit, goal, met if goal else None, how))

    def close(self) -> int:
        """Prints the end of it; gives the exit status."""
        claims = self.kept + len(self.broken)
        self.figure(
            "demo_claims_kept",
            self.kept / claims if claims else 0.0,
            "ratio",
            f"{self.kept} of {claims} claims of `turnout demo` held; {len(self.skipped)} skipped",
            "== 1",
            bool(claims) and not self.broken,
        )
        if self.quiet:
            for one in self.figures:
                print(one.as_json(), flush=True)
            for text in self.broken:
                print(json.dumps({"broken_claim": text}), flush=True)
        else:
            self._table()
        return 1 if self.broken or not claims else 0

    def _table(self) -> None:
        print("\nFigures")
        for one in self.figures:
            goal = (
                "" if one.goal is None else f"goal {one.goal}: {'met' if one.met else 'NOT MET'}"
            )
            print(f"  {one.name:<28}{one.value:>12,.3f} {one.unit:<10}{goal:<20}{one.how}")
        if self.broken:
            print(f"\n{len(self.broken)} claims are broken:")
            for text in self.broken:
                print(f"  {text}")
        else:
            print(f"\nAll {self.kept} claims were kept.", flush=True)

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)
