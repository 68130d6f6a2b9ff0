"""What a study found, as a sentence made of its rows: who is best at what, and how clearly."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from studies.bench.figures import quartiles

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 4  # contests that a sentence lists by name
USUAL = 0.75  # the share of groups from which on a setting is the usual one


@dataclass(frozen=True)
class Ranking:
    """Which groups of a study compete, and in what.

    Parameters
    ----------
    column : a measured column
    better : "lower" or "higher"; or a dict from the first value of a contest, its task say, to one of them
    within : settings of ``BY`` that all groups of one contest share; the others tell who competes
    last : a column of ``BY`` of which only the largest value counts, as the seconds of a curve
    """

    column: str
    better: str | dict[str, str] = "lower"
    within: tuple[str, ...] = ()
    last: str | None = None

    def sign(self, contest: tuple) -> float:
        """1 where low values are good, -1 where high ones are."""
        better = self.better if isinstance(self.better, str) else self.better[contest[0]]
        return {"lower": 1.0, "higher": -1.0}[better]

    def in_words(self) -> str:
        """For the head of a table."""
        if isinstance(self.better, str):
            return f"{self.better} is better"
        return ", ".join(f"{name}: {better} is better" for name, better in self.better.items())


@dataclass(frozen=True)
class Entry:
    """One group in a contest; ``cost`` has its quartiles, where less is better."""

    name: str
    group: int
    cost: tuple[float, float, float]
    n_seeds: int


def groups(study: ModuleType, table: pd.DataFrame) -> list[tuple[tuple, pd.DataFrame]]:
    """Values of ``BY`` and the rows that share them, in the order of the rows."""
    return list(table.groupby(list(study.BY), sort=False, dropna=False))


def contests(study: ModuleType, table: pd.DataFrame) -> dict[tuple, list[Entry]]:
    """The entries of each contest, the best first; without groups in which every cell failed."""
    ranking: Ranking = study.RANKING
    names = [name for name in study.BY if name not in (*ranking.within, ranking.last)]
    found: dict[tuple, list[Entry]] = {}
    end = table[ranking.last].max() if ranking.last else None
    usual = _usual(study, table, names)
    for i, (values, group) in enumerate(groups(study, table)):
        settings = dict(zip(study.BY, values, strict=True))
        good = group[ranking.column][group["error"].isna()] if ranking.column in group else []
        if len(good) == 0 or (ranking.last and settings[ranking.last] != end):
            continue
        contest = tuple(settings[name] for name in ranking.within)
        cost = quartiles(ranking.sign(contest) * good.astype(float))
        name = _named({name: settings[name] for name in names if settings[name] != usual.get(name)})
        found.setdefault(contest, []).append(Entry(name, i, cost, len(good)))
    return {contest: sorted(entries, key=lambda entry: entry.cost[1]) for contest, entries in found.items()}


def winners(study: ModuleType, table: pd.DataFrame) -> set[int]:
    """Numbers of the groups with the best median of their contest, where there is a contest."""
    if not hasattr(study, "RANKING"):
        return set()
    entered = [entries for entries in contests(study, table).values() if len(entries) > 1]
    return {entry.group for entries in entered for entry in _best(entries)}


def finding(study: ModuleType, table: pd.DataFrame) -> str:
    """The answer in a sentence or two, by the study's own ``finding`` or by its ``RANKING``."""
    good = table[table["error"].isna()]
    if good.empty:
        return "Every cell failed, so there is no answer."
    if hasattr(study, "finding"):
        return study.finding(good)
    found = contests(study, table)
    return _of_one(study.RANKING, *next(iter(found.items()))) if len(found) == 1 else _of_several(study.RANKING, found)


def of_ratios(rows: pd.DataFrame) -> str:
    """The finding of a study that measures how many times faster ours is, and what it set out to reach."""
    medians = rows.groupby([name for name in ("case", "leak_rate") if name in rows], sort=False)["ratio"].median()
    raced = medians.dropna()
    if raced.empty:
        return "No rival is installed, so nothing was raced."
    said = f"Faster than the best rival, or below the bound, in {(raced > 1.0).sum()} of {len(raced)} cases"
    if "reach" in rows:
        reach = rows.groupby(list(medians.index.names), sort=False)["reach"].median()
        said += f", and as fast as set out to be in {(raced >= reach[raced.index]).sum()}"
    return f"{said}; ratios from {raced.min():.2g} to {raced.max():.2g}."


def _of_one(ranking: Ranking, contest: tuple, entries: list[Entry]) -> str:
    sign, best = ranking.sign(contest), entries[0]
    measure = ranking.column.replace("_", " ")
    if len(entries) == 1:
        return f"{best.name}: {measure} {_shown(sign, best)}."
    ties = _best(entries)
    if len(ties) > 1:
        return f"{_listed([entry.name for entry in ties])} share the best median {measure}, {_shown(sign, best)}."
    follower = entries[1]
    apart = "" if best.n_seeds == 1 else ", quartiles apart" if _is_apart(best, entries[1:]) else ", quartiles overlap"
    return (
        f"{best.name} has the best median {measure}, {_shown(sign, best)}; {follower.name} follows with "
        f"{sign * follower.cost[1]:.3g}{apart}."
    )


def _of_several(ranking: Ranking, found: dict[tuple, list[Entry]]) -> str:
    wins: dict[str, list[str]] = {}
    n_shared = n_apart = 0
    for contest, entries in found.items():
        ties = _best(entries)
        n_shared += len(ties) > 1
        n_apart += len(entries) > 1 and _is_apart(entries[0], entries[1:])
        for entry in ties:
            wins.setdefault(entry.name, []).append(", ".join(map(_short, contest)))
    names = len(found) <= MOST_NAMED
    ordered = sorted(wins.items(), key=lambda item: -len(item[1]))
    said = [f"{name} in {len(where)}" + (f" ({'; '.join(where)})" if names else "") for name, where in ordered]
    what = _listed([name.replace("_", " ") for name in ranking.within])
    shared = f" Equal medians share {n_shared} of these." if n_shared else ""
    return (
        f"Best median {ranking.column.replace('_', ' ')}, of {len(found)} contests by {what}: {_listed(said)}.{shared} "
        f"Quartiles are apart from everyone else's in {n_apart}."
    )


def _usual(study: ModuleType, table: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Settings that most groups share, so that a name can do without them; the first of ``names`` is always told."""
    apart = table[list(study.BY)].drop_duplicates()
    counts = {name: apart[name].value_counts() for name in names[1:]}
    return {name: count.index[0] for name, count in counts.items() if count.max() > USUAL * len(apart)}


def _best(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.cost[1] == entries[0].cost[1]]


def _is_apart(best: Entry, others: list[Entry]) -> bool:
    return best.cost[2] < min(entry.cost[0] for entry in others)


def _shown(sign: float, entry: Entry) -> str:
    return f"{sign * entry.cost[1]:.3g} over {entry.n_seeds} {'run' if entry.n_seeds == 1 else 'runs'}"


def _named(settings: dict[str, Any]) -> str:
    """Texts speak for themselves, numbers with their name."""
    return ", ".join(v if isinstance(v, str) else f"{name} = {_short(v)}" for name, v in settings.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
