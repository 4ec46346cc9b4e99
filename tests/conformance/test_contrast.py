"""`closet compare`: routed tenants keep what stretched ones spread."""

from __future__ import annotations

import json

from .lifecycle import Closet


def test_compare(closet: Closet) -> None:
    """State, copies and storms, with the sender's own leaf as the control of both sides."""
    done = closet.run("compare", "--endpoints", "1,50", "--runtime", closet.runtime, "--json")
    done.passed()
    sides = json.loads(done.out)
    routed, stretched = sides["routed"], sides["stretched"]
    for side in (routed, stretched):
        assert side["copies"]["frames"] == 100
        assert side["storm"]["offered"] > 10
        for pings in (side["quiet"]["same"], side["quiet"]["other"]):
            assert pings["answered"] > 0.95 * pings["sent"]

    few, many = routed["growth"]
    assert few | {"endpoints": 200} == many  # not one entry more
    assert many["leaf"] == 6  # a router MAC for each other leaf, in two VRFs
    few, many = stretched["growth"]
    assert many["leaf"] - few["leaf"] == many["endpoints"] - few["endpoints"] == 196
    assert many["total"] >= 4 * 200

    assert (routed["copies"]["crossings"], routed["copies"]["deliveries"]) == (0, 0)
    # A copy to each other leaf, up to a spine and down again; a host of the tenant on each.
    assert (stretched["copies"]["crossings"], stretched["copies"]["deliveries"]) == (2 * 3 * 100, 3 * 100)

    assert routed["storm"]["fabric"] - routed["quiet"]["fabric"] < 2
    assert routed["storm"]["other"]["answered"] > 0.95 * routed["storm"]["other"]["sent"]
    assert stretched["storm"]["fabric"] - stretched["quiet"]["fabric"] > 2 * routed["storm"]["offered"]
    assert stretched["storm"]["unasked"] > 5
    # Its copies need three times a link's rate, and the leaf has two links upwards, for all of its tenants.
    assert stretched["storm"]["other"]["answered"] < 0.95 * stretched["storm"]["other"]["sent"]
    assert closet.traces("compare-routed") + closet.traces("compare-stretched") == []
