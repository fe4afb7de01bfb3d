"""The organisation of the local server: two org trees of nested teams, with developers in the leaf teams.

Names have what breaks careless scripts: commas, quotes, slashes, non-ASCII letters, line breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

__all__ = ["COLLEAGUE", "OWNER", "Developer", "OrgTree", "Organisation", "Team", "User"]

# Team ids of the vendor's example requests.
_EXAMPLE_IDS = (456, 123, 789, 6036, 1)
_LEAF_NAMES = (
    *("Platform", 'Search, "Ranking" & Feeds', "Données et qualité", "R&D / Labs", "平台工程", "Mobile – iOS"),
    "Café Straße",
)
_GROUP_NAMES = ("Products", "Foundations", "Emerging, Markets")
_FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Élodie", "Fatima", "Gwen", "Hōkan", "Inés", 'Joseph "Joe"')
_LAST_NAMES = ("Abara", "Børresen", "Chen", "D'Angelo", "Eriksson", "Faulkner, Jr.", "García\nMárquez", "Håkansson")
_TEAMS_PER_GROUP = 4
_ROOT_ID, _FIRST_GROUP_ID, _SUPPORT_ID = 1_000_000, 1_000_001, 2_000_001


@dataclass(frozen=True)
class User:
    """The owner of a key; answers have this as ``createdBy``, which is personal data."""

    user_id: str
    name: str
    email: str


OWNER = User("user_123", "Jane Smith", "jane.smith@company.example")
COLLEAGUE = User("user_456", "John Doe", "john.doe@company.example")


@dataclass(frozen=True)
class Developer:
    """A contributor of one leaf team."""

    name: str
    email: str


@dataclass(frozen=True)
class Team:
    """A node of an org tree: a leaf has developers (or none), any other node has children."""

    ref_id: int
    name: str
    path: str
    parent_ref_id: int | None = None
    children: tuple[Team, ...] = ()
    developers: tuple[Developer, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Whether the team has no child teams."""
        return not self.children

    def walk(self) -> Iterator[Team]:
        """Yield this team and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def leaves(self) -> Iterator[Team]:
        """Yield the leaf teams at or below this one."""
        return (team for team in self.walk() if team.is_leaf)


@dataclass(frozen=True)
class OrgTree:
    """A named hierarchy of teams."""

    tree_id: int
    name: str
    root: Team


@dataclass(frozen=True)
class Organisation:
    """Two org trees: Engineering, with ``leaf_teams`` leaf teams, and Support, with two."""

    leaf_teams: int
    developers_per_team: int

    @cached_property
    def trees(self) -> tuple[OrgTree, ...]:
        """The org trees."""
        tiers = [(_SUPPORT_ID + 1, "Tier 1"), (_SUPPORT_ID + 2, "Tier 2")]
        support = self._group(_SUPPORT_ID, "Support", None, tiers)
        return OrgTree(1, "Engineering", self._engineering()), OrgTree(2, "Support", support)

    @cached_property
    def teams(self) -> dict[str, Team]:
        """All teams of all trees by id, as text."""
        return {str(team.ref_id): team for tree in self.trees for team in tree.root.walk()}

    @cached_property
    def trees_by_name(self) -> dict[str, OrgTree]:
        """The org trees by name."""
        return {tree.name: tree for tree in self.trees}

    def _engineering(self) -> Team:
        root = Team(_ROOT_ID, "Engineering", "Engineering")
        leaves = [(_leaf_id(number), _numbered(_LEAF_NAMES, number)) for number in range(self.leaf_teams)]
        groups: list[Team] = []
        for number, start in enumerate(range(0, len(leaves), _TEAMS_PER_GROUP)):
            # The second group is below the first, so that leaves are at different depths.
            above = groups[0] if number == 1 else root
            chunk = leaves[start : start + _TEAMS_PER_GROUP]
            group = self._group(_FIRST_GROUP_ID + number, _numbered(_GROUP_NAMES, number), above, chunk)
            if number == 1:
                groups = [replace(above, children=(*above.children, group))]
            else:
                groups.append(group)
        return replace(root, children=tuple(groups))

    def _group(self, ref_id: int, name: str, above: Team | None, leaves: list[tuple[int, str]]) -> Team:
        path = f"{above.path} > {name}" if above else name
        children = tuple(
            Team(leaf_id, leaf, f"{path} > {leaf}", ref_id, (), self._developers(leaf_id)) for leaf_id, leaf in leaves
        )
        return Team(ref_id, name, path, above.ref_id if above else None, children)

    def _developers(self, team_id: int) -> tuple[Developer, ...]:
        if self.leaf_teams > 1 and team_id == _leaf_id(self.leaf_teams - 1):
            return ()
        people = []
        for number in range(self.developers_per_team):
            first = _FIRST_NAMES[(team_id + 3 * number) % len(_FIRST_NAMES)]
            last = _LAST_NAMES[(team_id // 7 + number) % len(_LAST_NAMES)]
            people.append(Developer(f"{first} {last}", f"developer.{team_id}.{number}@company.example"))
        return tuple(people)


def _leaf_id(number: int) -> int:
    if number < len(_EXAMPLE_IDS):
        return _EXAMPLE_IDS[number]
    ref_id = 1001 + number
    return ref_id + (ref_id >= max(_EXAMPLE_IDS))  # skips an id that is taken


def _numbered(names: tuple[str, ...], number: int) -> str:
    """Return the name at ``number``; past the end, names repeat with a number appended."""
    rounds, index = divmod(number, len(names))
    return names[index] if rounds == 0 else f"{names[index]} {rounds + 1}"
