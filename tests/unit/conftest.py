"""What the offline tests share: intents of every shape for hypothesis, and the golden files.

`@given(intent=infer)` or `@given(fabric=infer)` draws any fabric an intent can ask for, small ones.
The examples are the same in every run; `pytest --hypothesis-profile=explore` looks at many more, and new ones.
After a change that is meant to change what is rendered, `pytest --regenerate-golden` writes the golden files
anew: read the diff before committing it.
"""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from closet.intent import Intent
from closet.intent.wiring import Wiring
from closet.plan import Fabric, plan

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile(
    "unit",
    max_examples=16,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("unit")


def pytest_addoption(parser):
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/unit/golden anew")


@pytest.fixture
def golden(request):
    """Compare files with those of a folder under golden/, or write them with --regenerate-golden."""

    def compare(folder: str, files: dict[str, str]) -> None:
        there = GOLDEN / folder
        if request.config.getoption("--regenerate-golden"):
            shutil.rmtree(there, ignore_errors=True)
            there.mkdir(parents=True)
            for name, text in files.items():
                (there / name).write_bytes(text.encode())
        assert sorted(p.name for p in there.iterdir()) == sorted(files)
        for name, text in files.items():
            assert text.encode().decode() == (there / name).read_bytes().decode(), name

    return compare


@pytest.fixture
def recorded():
    """`recorded("clean")`: the fabric, and what one of its nodes answered, of a file under recorded/."""

    def read(name: str) -> tuple[Fabric, dict]:
        data = json.loads((GOLDEN.parent / "recorded" / f"{name}.json").read_text())
        return plan(Intent.model_validate(data["intent"])), data["answers"]

    return read


def _draw_shape(draw) -> dict:
    """The counts of nodes, and how hosts attach: every combination the rules allow."""
    if draw(st.integers(0, 4)) == 0:  # no spines
        words = {"spines": 0}
    else:
        words = {"spines": draw(st.integers(1, 3))}
        if draw(st.booleans()):
            words["planes"] = draw(st.booleans())
            width = words["spines"] if words["planes"] else 1
            words["superspines"] = width * draw(st.integers(1, 2))
            words["pods"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        words |= {"rails": draw(st.integers(1, 4)), "groups": draw(st.integers(1, 2))}
        words["hosts"] = {"per_group": draw(st.integers(1, 3)), "nics": draw(st.none() | st.integers(1, 5))}
    elif draw(st.booleans()) and words["spines"]:
        words["leaves"] = 2 * draw(st.integers(1, 2))
        words["hosts"] = {"per_pair": draw(st.integers(1, 3)), "nics": draw(st.none() | st.integers(2, 5))}
    else:
        words["leaves"] = draw(st.integers(1, 4)) if words["spines"] else 1
        words["hosts"] = {"per_leaf": draw(st.integers(1, 3)), "nics": draw(st.none() | st.integers(1, 3))}
    words["hosts"]["routes"] = draw(st.sampled_from([None, "aggregates", *(["default"] if words["spines"] else [])]))
    return words


def _draw_manner(draw) -> dict:
    """All that is not shape."""
    shared = st.lists(st.sampled_from(["superspines", "spines", "hosts"]), unique=True)
    return {
        "links": {
            "addressing": draw(st.sampled_from(["unnumbered", "numbered"])),
            "parallel": draw(st.sampled_from([1, 1, 2])),
            "ports": draw(st.sampled_from(["eth", "Ethernet", "swp"])),
            "mtu": draw(st.sampled_from([1500, 9216])),
        },
        "bgp": {
            "bfd": draw(st.sampled_from([False, True, {"interval": 50, "multiplier": 5}])),
            "asns": {"shared": draw(shared)},
            "timers": draw(st.sampled_from([{}, {"keepalive": 10, "hold": 30, "connect": 10}])),
        },
        "ecmp": {"hash": draw(st.sampled_from(["l3", "l4"])), "seed": draw(st.sampled_from([None, 7]))},
        "pools": draw(
            st.sampled_from(
                [{}, {"leaf_prefix": 26}, {"hosts": "100.64.0.0/10", "vips": "192.0.2.0/24", "links": "172.16.0.0/22"}]
            )
        ),
    }


@st.composite
def intents(draw):
    intent = Intent.model_validate({"name": "any", **_draw_shape(draw), **_draw_manner(draw)})
    changed = draw(st.none() | st.sampled_from(list(plan(intent).nodes)))
    override = {"name": "other", "ecmp": {"hash": "l3"}, "extra": "ip route 192.0.2.255/32 blackhole\n"}
    nodes = {"*": {"ecmp": {"seed": 9}}, changed: override} if changed else {}
    return Intent.model_validate({**intent.model_dump(exclude_unset=True), "nodes": nodes})


@st.composite
def wirings(draw):
    """Leaves under any spines or joined with one another, hosts on any leaves, over any number of cables."""
    spines = [f"s{i}" for i in range(draw(st.integers(0, 3)))]
    leaves = [f"l{i}" for i in range(draw(st.integers(1, 4)))]
    hosts = [f"h{i}" for i in range(draw(st.integers(1, 4)))]
    some = st.sets
    mesh = list(combinations(leaves, 2))
    if spines:
        mesh = sorted(draw(some(st.sampled_from(mesh)))) if mesh else []
        pairs = [(s, leaf) for leaf in leaves for s in sorted({"s0"} | draw(some(st.sampled_from(spines))))]
        pairs += [(s, leaves[0]) for s in spines if s not in {a for a, _ in pairs}]
    else:
        pairs = []
    pairs += mesh + [(leaf, h) for h in hosts for leaf in sorted(draw(some(st.sampled_from(leaves), min_size=1)))]
    pairs += draw(st.lists(st.sampled_from(pairs), max_size=2))
    links = []
    for i, (a, b) in enumerate(draw(st.permutations(pairs))):
        ends = [f"{n}:p{i}" if draw(st.booleans()) else n for n in (a, b)]
        links.append(tuple(ends if draw(st.booleans()) else reversed(ends)))
    return Wiring(spines=tuple(spines), leaves=tuple(leaves), hosts=tuple(hosts), links=tuple(links))


st.register_type_strategy(Wiring, wirings())
st.register_type_strategy(Intent, intents())
st.register_type_strategy(Fabric, intents().map(plan))
