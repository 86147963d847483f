from __future__ import annotations

from extauthz.engine.roles import RequestRoles, RoleGraph


def chain(hops: int) -> RoleGraph:
    return RoleGraph.of(2, [(f"n{at}", f"n{at + 1}") for at in range(hops)])


def test_casbin_follows_nine_hops_and_no_tenth() -> None:
    g = RequestRoles(chain(10), "n0").function()

    assert g("n0", "n9")
    assert not g("n0", "n10")


def test_a_request_role_is_a_hop_like_any_other() -> None:
    g = RequestRoles(chain(9), "alice", ("n0",)).function()

    assert g("alice", "n8")
    assert not g("alice", "n9")


def test_everyone_is_themselves_in_any_domain() -> None:
    g = RequestRoles(RoleGraph.of(3, []), "alice").function()

    assert g("x", "x", "d")


def test_a_circle_ends() -> None:
    g = RequestRoles(RoleGraph.of(2, [("a", "b"), ("b", "a")]), "a").function()

    assert g("a", "b")
    assert not g("a", "c")


def test_who_has_the_subject_as_a_role_has_its_request_roles() -> None:
    g = RequestRoles(RoleGraph.of(2, [("deputy", "alice")]), "alice", ("role:a",)).function()

    assert g("deputy", "role:a")


def test_the_way_to_a_role_is_the_shortest() -> None:
    graph = RoleGraph.of(
        2, [("alice", "role:a"), ("role:a", "role:b"), ("alice", "role:c"), ("role:b", "role:d")]
    )
    held = RequestRoles(graph, "alice", ("role:b",))

    assert held.path("alice", "role:d") == ("alice", "role:b", "role:d")
    assert held.path("alice", "alice") == ("alice",)
    assert held.path("alice", "role:z") == ()


def test_nobody_else_has_the_request_roles_of_the_subject() -> None:
    g = RequestRoles(RoleGraph.of(2, [("bob", "role:b")]), "alice", ("role:a",)).function()

    assert g("alice", "role:a")
    assert not g("bob", "role:a")
