from hypothesis import given, infer
from closet.intent import Intent
from closet.plan import Fabric, plan

@given(intent=infer)
def test_a(intent: Intent):
    print(plan(intent).summary())
    assert plan(intent) == plan(intent)
