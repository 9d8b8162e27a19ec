from __future__ import annotations

from supernet.channels import ChannelGroups, fixed
from supernet.space import Segment


def test_joining_groups_of_different_units():
    """A unit of 6 elements is what units of 2 and of 3 elements have in common."""
    groups = ChannelGroups()
    a, b = groups.new("a", 12), groups.new("b", 8)
    joined = groups.unify((Segment(a, 2),), (Segment(b, 3),), "reason")
    (root,) = groups.roots()
    assert joined == (Segment(root, 6),)
    assert groups.resolve((Segment(a, 1),)) == (Segment(root, 3),)
    assert groups.resolve((Segment(b, 1),)) == (Segment(root, 2),)
    assert groups.describe(root) == ("a", 4, "", ["a", "b"])
    assert groups.size(joined) == 24
    assert groups.roots() == [root]


def test_what_cannot_be_joined_is_fixed_with_the_reason():
    groups = ChannelGroups()
    a = groups.new("a", 8)
    groups.unify((Segment(a, 1),), fixed(8), "add (stage1)")
    assert groups.describe(a)[2] == "add (stage1) ties them to fixed channels"


def test_a_group_cannot_be_a_multiple_of_itself():
    groups = ChannelGroups()
    a = groups.new("a", 8)
    groups.unify((Segment(a, 2),), (Segment(a, 1), Segment(a, 1)), "because")
    assert not groups.is_free((Segment(a, 1),))


def test_the_first_reason_stays():
    groups = ChannelGroups()
    a = groups.new("a", 8)
    groups.freeze([(Segment(a, 1),)], "first")
    groups.freeze([(Segment(a, 1),)], "second")
    assert groups.describe(a)[2] == "first"


def test_a_cut_between_units_makes_groups_of_their_own():
    groups = ChannelGroups()
    a = groups.new("a", 6)
    first, second = groups.cut((Segment(a, 2),), [4, 8]) or []
    assert [groups.describe(root)[:2] for root in groups.roots()] == [("a[0]", 2), ("a[1]", 4)]
    assert first == (Segment(groups.roots()[0], 2),)
    assert second == (Segment(groups.roots()[1], 2),)
    assert groups.resolve((Segment(a, 3),)) == tuple(Segment(root, 3) for root in groups.roots())


def test_a_unit_that_a_cut_runs_through_stays():
    groups = ChannelGroups()
    a = groups.new("a", 5)
    pieces = groups.cut((Segment(a, 2),), [5, 5]) or []
    assert [groups.size(piece) for piece in pieces] == [5, 5]
    assert [groups.describe(root)[1] for root in groups.roots()] == [2, 2]
    assert [segment.per_unit for segment in groups.resolve((Segment(a, 2),))] == [2, 2, 2]
    assert groups.resolve((Segment(a, 2),))[1].group is None


def test_joining_what_was_cut_gives_one_group_again():
    groups = ChannelGroups()
    a = groups.new("a", 8)
    halves = groups.cut((Segment(a, 1),), [4, 4]) or []
    groups.unify(*halves, "reason")
    (root,) = groups.roots()
    assert groups.describe(root) == ("a", 4, "", ["a"])
    assert groups.resolve((Segment(a, 1),)) == (Segment(root, 1), Segment(root, 1))


def test_joining_a_sum_with_its_parts():
    groups = ChannelGroups()
    a, b, c = groups.new("a", 4), groups.new("b", 8), groups.new("c", 12)
    groups.unify((Segment(a, 1), Segment(b, 1)), (Segment(c, 1),), "reason")
    assert [groups.describe(root)[:2] for root in groups.roots()] == [("a", 4), ("b", 8)]
    assert groups.resolve((Segment(c, 1),)) == groups.resolve((Segment(a, 1), Segment(b, 1)))
