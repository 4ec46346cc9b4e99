"""Expectations that are worked out one by one, when they are asked for: of many claims, some may be all one wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lazy(Mapping[K, V]):
    """Keys, in their order, and what each has by `of`, which is asked at most once for each.

    `in` knows whether a key is one of them. [] does not look, and asks `of`: to hash all keys takes longer than what
    most are asked for, and who asks has the key from here.
    """

    def __init__(self, keys: Iterable[K], of: Callable[[K], V]) -> None:
        self._keys = list(keys)
        self._of = of
        self._known: dict[K, V] = {}

    @cached_property
    def _all(self) -> frozenset[K]:
        """The keys, to look one up."""
        return frozenset(self._keys)

    def __getitem__(self, key: K) -> V:
        if key not in self._known:
            self._known[key] = self._of(key)
        return self._known[key]

    def __contains__(self, key: object) -> bool:
        return key in self._all

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
