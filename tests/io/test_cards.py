"""Cards alone; what they read is in test_weaver.py."""

from hepjax.io import cards

TEXT = """
treename: Events
new_variables: {a: b + 1, c: c}
inputs:
   one: {length: 4, vars: [a, [b, 1], [c, null, 2, -1, 1, 9]]}
labels: {type: custom, value: {truth: a > 0}}
monitor_variables: [d]
"""


def test_defaults_are_those_of_weaver():
    card = cards.parse(TEXT)
    (group,) = card.inputs
    assert group.pad_mode == "constant"
    assert group.variables[0] == cards.Variable("a", None, 1.0, -5.0, 5.0, 0.0)
    assert group.variables[1] == cards.Variable("b", 1.0, 1.0, -5.0, 5.0, 0.0)
    assert group.variables[2] == cards.Variable("c", None, 2.0, -1.0, 1.0, 9.0)
    assert card.labels == {"truth": "a > 0"}
    assert card.observers == ("d",)
    assert card.new_variables == {"a": "b + 1"}  # c is itself
    assert card.tree == "Events"
    assert card.weights is None
    assert card.selection is None


def test_automatic_scaling_is_marked():
    card = cards.parse("preprocess: {method: Auto}\n" + TEXT)
    assert [v.subtract for v in card.inputs[0].variables] == ["auto", 1.0, None]
