"""Mutation testing of `sim/`: one small change at a time, and some test must fail. `make mutants [MODULES="graph des"]`.

A mutant lives in memory alone: a forked child imports the changed module through a finder of its own and runs the tests
of the module, quickest first, until one fails. Kernels run as plain Python (no compilation, no caches), hypothesis draws
the same examples each time. A crash, or a run four times as long as the tests take otherwise, counts as killed.
`survivors.yaml` beside this file says why a mutant that survives may; what has no reason there is a missing test.
"""

import argparse
import ast
import copy
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

os.environ |= {"NUMBA_DISABLE_JIT": "1", "TAPEOUT_DESIGNS": os.environ.get("TAPEOUT_DESIGNS", "60")}

ROOT = Path(__file__).parents[2]
ENGINES = ("tests/test_tiny.py", "tests/test_engines.py")
TESTS = {  # a module's own tests/test_<module>.py comes first, where there is one
    "graph": ("tests/test_design.py", *ENGINES),
    **dict.fromkeys(("des", "fast", "kernel", "rates"), ENGINES),
    **dict.fromkeys(("periodic", "cycle", "regimes"), ("tests/test_timeline.py", *ENGINES)),
    "timeline": (*ENGINES, "tests/test_trace.py"),
    "critical": (*ENGINES, "tests/test_trace.py"),
    "verdict": ("tests/test_result.py", "tests/test_laws.py"),
    "result": ("tests/test_laws.py",),
    **dict.fromkeys(("energy", "units", "config"), ()),
}
COMPARE: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.Add,
    ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
SWAPS = {"min": "max", "max": "min", "any": "all", "all": "any", "maximum": "minimum", "minimum": "maximum",
         "argmax": "argmin", "argmin": "argmax", "zeros": "ones", "ones": "zeros"}  # fmt: skip
SILENT = {"annotation", "returns", "decorator_list"}  # fields that do not act


@dataclass(frozen=True, eq=False, slots=True)
class Mutant:
    """One change: `field[index]` of `parent` becomes `new`; `name` is stable under moved lines."""

    line: int
    name: str
    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST

    def apply(self) -> None:
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What `node` could have been by mistake."""

    def other(**fields: Any) -> ast.AST:
        fresh = copy.copy(node)
        for field, value in fields.items():
            setattr(fresh, field, value)
        return fresh

    match node:
        case ast.Compare(ops=[op, *rest]):
            yield from (other(ops=[kind(), *rest]) for kind in COMPARE[type(op)])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield other(op=ARITHMETIC[type(op)]())
            if isinstance(node, ast.AugAssign):
                yield ast.copy_location(ast.Pass(), node)
        case ast.BoolOp(op=op):
            yield other(op=ast.And() if isinstance(op, ast.Or) else ast.Or())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield other(value=not value)
        case ast.Constant(value=int() | float() as value):
            yield from (other(value=value + step) for step in (1, -1))
        case ast.Call(func=ast.Name(id=name)) if name in SWAPS:
            yield other(func=ast.copy_location(ast.Name(SWAPS[name], ast.Load()), node.func))
        case ast.Call(func=ast.Attribute(attr=name) as func) if name in SWAPS:
            yield other(func=ast.copy_location(ast.Attribute(func.value, SWAPS[name], ast.Load()), func))
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield other(test=ast.copy_location(ast.UnaryOp(ast.Not(), test), test))
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield other(value=ast.copy_location(ast.Constant(None), value))
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.copy_location(ast.Pass(), node)
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.copy_location(ast.Pass(), node)


def mutants(tree: ast.Module) -> list[Mutant]:
    """All changes to a module, in the order of its lines; texts and compiler options stay."""
    found: list[Mutant] = []
    seen: dict[str, int] = {}

    def visit(parent: ast.AST, where: str) -> None:
        for field, value in ast.iter_fields(parent):
            for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
                if not isinstance(node, ast.AST) or field in SILENT or isinstance(node, ast.JoinedStr):
                    continue
                text = ast.unparse(node)
                if text.startswith("numba.njit"):
                    continue
                for new in () if isinstance(node, ast.BinOp) and not where and "|" in text else variants(node):
                    short = [" ".join(ast.unparse(n).split("\n")[0].split()) for n in (node, new)]
                    name = f"{where or 'module'}: `{short[0]}` -> `{short[1]}`"
                    seen[name] = seen.get(name, 0) + 1
                    name += f" ({seen[name]})" if seen[name] > 1 else ""
                    found.append(Mutant(getattr(node, "lineno", 0), name, parent, field, index, new))
                named = isinstance(node, ast.FunctionDef | ast.ClassDef)
                visit(node, f"{where}.{node.name}".strip(".") if named else where)

    visit(tree, "")
    return found


class Only(MetaPathFinder, Loader):
    """Imports one module from a tree instead of from its file."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, origin=str(self.path)) if name == self.name else None

    def exec_module(self, module: Any) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def run(module: str, tree: ast.Module, tests: list[str], mutant: Mutant | None, limit_s: float) -> tuple[bool, float]:
    """Whether all tests pass within the limit, and the seconds they took."""
    began = time.perf_counter()
    if (child := os.fork()) == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        signal.alarm(int(limit_s) + 1)
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        if mutant:
            mutant.apply()
        sys.meta_path.insert(0, Only(f"sim.{module}", ROOT / "sim" / f"{module}.py", tree))
        import pytest

        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "-p", "no:xdist"]
        os._exit(pytest.main(["-x", "-q", *quiet, *tests]))
    return os.waitpid(child, 0)[1] == 0, time.perf_counter() - began


def main() -> None:
    """Try the mutants of the modules asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=[], help=f"of sim/; default: {' '.join(TESTS)}")
    parser.add_argument("--most", type=int, default=60, help="mutants a module, drawn by --seed where it has more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="only those that survived last time, for no known reason")
    asked = parser.parse_args()
    import table  # beside this file

    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import hypothesis

    for heavy in ("networkx", "numba", "numpy", "pydantic", "pytest", "simpy", "yaml"):
        import_module(heavy)  # once, before the forks
    quiet = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=quiet)
    hypothesis.settings.load_profile("mutants")
    for module in asked.modules or TESTS:
        path = ROOT / "sim" / f"{module}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests = [t for t in dict.fromkeys((f"tests/test_{module}.py", *TESTS[module])) if (ROOT / t).exists()]
        passed, usual_s = run(module, tree, tests, None, 600)
        assert passed, f"{module}: the tests fail without any change: {tests}"
        every = mutants(tree)
        drawn = every
        if len(every) > asked.most:
            drawn = sorted(random.Random(asked.seed).sample(every, asked.most), key=every.index)
        tried, survived = len(drawn), []
        if asked.again:
            last = table.known()[module]
            tried, left = last["tried"], {found["change"] for found in last["survived"]}
            drawn = [mutant for mutant in every if mutant.name in left and not table.reason(module, mutant.name)]
            survived = [found for found in last["survived"] if table.reason(module, found["change"])]
        for n, mutant in enumerate(drawn):
            alive, seconds = run(module, tree, tests, mutant, 4 * usual_s + 10)
            if alive:
                survived.append({"line": mutant.line, "change": mutant.name})
            print(f"{module} {n + 1}/{len(drawn)} {seconds:4.1f} s {'SURVIVED' if alive else 'killed'} "
                  f"{mutant.line} {mutant.name}", flush=True)  # fmt: skip
        table.keep(module, {"mutants": len(every), "tried": tried, "seed": asked.seed, "survived": survived})
    table.write()


if __name__ == "__main__":
    main()
