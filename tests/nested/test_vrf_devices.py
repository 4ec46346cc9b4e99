"""Tenants on kernel VRF devices: a fabric of the oci runtime inside a microVM, whose kernel has them.

    pytest tests/nested

takes about four minutes on two cores without KVM, and needs what `closet doctor --install` installs.
"""

from __future__ import annotations

import json

from tests.machine import run

INTENT = """name: vrf
spines: 1
leaves: 2
hosts: {per_leaf: 3}
tenants:
  red: {hosts: ["h?-1"], prefix: 10.64.0.0/16}
  blue: {hosts: ["h?-2"], prefix: 10.64.0.0/16}
  services: {hosts: ["h1-3"], prefix: 10.96.0.0/24}
peerings:
  - {between: [red, services]}
"""
SCRIPT = f"""
cat >/intent.yaml <<'END'
{INTENT}END
python3 -m closet up /intent.yaml --runtime oci --json >/up.json 2>/up.err
code=$?
cat /up.json /up.err
echo "up returned $code"
python3 -m closet exec leaf1 -- ip -j link show type vrf
"""


def test_tenants_on_vrf_devices():
    """Every check passes, and the VRFs of a leaf are devices."""
    done = run(SCRIPT)
    said, _, vrfs = done.out.partition("up returned 0\n")
    assert vrfs, done.out[-3000:]
    results = {r["check"]: r for r in json.loads(said[: said.rindex("}") + 1])["results"]}
    assert [f for r in results.values() for f in r["findings"]] == []
    assert results["matrix"]["claims"] > 0
    assert {link["ifname"] for link in json.loads(vrfs)} == {"red", "blue", "services"}
