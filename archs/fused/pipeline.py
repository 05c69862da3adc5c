"""Which layers of a group share a stage, how deep each stage stands, and how many tiles wait between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from archs.fused.stack import WINDOWED, Group, Node


@dataclass(frozen=True, eq=False, slots=True)
class Home:
    """The layers of one stage (the first names it) and its depth: steps after the first stage."""

    name: str
    nodes: tuple[Node, ...]
    depth: int


def homes(group: Group, mode: str = "lockstep") -> tuple[Home, ...]:
    """A stage for every convolution, with what follows it; free-running pools are stages of their own.

    What reads two stages joins the deeper one. A pool or element-wise layer that comes first is a stage too.
    """
    owner: dict[str, str] = {}
    members: dict[str, list[Node]] = {}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for node in group.nodes:
        before = {owner[name] for name in node.inputs if name in owner}
        own = node.kind == "conv" or not before or (node.kind == "pool" and mode == "free")
        home = node.name if own else _deepest(graph, before)
        members.setdefault(home, []).append(node)
        owner[node.name] = home
        graph.add_node(home)
        graph.add_edges_from((name, home) for name in before if name != home)
    depth = _depths(graph)
    return tuple(Home(name, tuple(nodes), depth[name]) for name, nodes in members.items())


def _deepest(graph: "nx.DiGraph[str]", names: set[str]) -> str:
    """The deepest of these stages, the latest one of equals."""
    if len(names) == 1:
        return next(iter(names))
    depth, order = _depths(graph), {name: n for n, name in enumerate(graph)}
    return max(names, key=lambda name: (depth[name], order[name]))


def _depths(graph: "nx.DiGraph[str]") -> dict[str, int]:
    depths: dict[str, int] = {}
    for name in nx.topological_sort(graph):
        depths[name] = max((depths[before] + 1 for before in graph.predecessors(name)), default=0)
    return depths


def copies(group: Group) -> Mapping[str, int]:
    """Tiles of every map that the lock-step pipeline holds at once.

    Two where a map is handed to the next stage (one written, one read), more where it waits for a deeper one; one where a
    pool looks at it inside its stage; none where an element-wise layer takes it value by value.
    """
    stages = homes(group)
    place = {node.name: home for home in stages for node in home.nodes}
    held: dict[str, int] = {}
    for name in group.shapes:
        depths = [place[node.name].depth for node in group.readers[name]]
        if name in group.entries:
            held[name] = max(depths) - min(depths) + 2
            continue
        mine = place[name]
        gaps = [
            depth - mine.depth
            for node, depth in zip(group.readers[name], depths, strict=True)
            if place[node.name] is not mine
        ]
        gaps += [1] if name in group.exits else []
        inside = any(node.kind in WINDOWED and place[node.name] is mine for node in group.readers[name])
        held[name] = max(gaps) + 1 if gaps else int(inside)
    return held
