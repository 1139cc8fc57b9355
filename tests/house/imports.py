"""Reading a module's imports and names without running it."""

import ast
import builtins
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name, in full: `turnout.domain.money`."""

    dotted: str
    line: int


def module_name(path: str) -> tuple[str, bool]:
    """Turn `src/turnout/a/b.py` into (`turnout.a.b`, whether it is a package)."""
    parts = path.removeprefix("src/").removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        return ".".join(parts[:-1]), True
    return ".".join(parts), False


def _base(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    name, package = module_name(path)
    parts = name.split(".")
    climb = node.level - 1 if package else node.level
    parts = parts[: len(parts) - climb]
    return ".".join([*parts, node.module] if node.module else parts)


def imports_of(text: str, path: str) -> list[Import]:
    """Every import, absolute; also under TYPE_CHECKING, in functions, and by name at run time.

    `from a import b` gives `a.b`, because b may be a module; callers look at prefixes.
    """
    found = []
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            found += [Import(f"{base}.{alias.name}", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Call) and _imports_by_name(node.func) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.append(Import(first.value, node.lineno))
    return found


def _imports_by_name(function: ast.expr) -> bool:
    return (isinstance(function, ast.Attribute) and function.attr == "import_module") or (
        isinstance(function, ast.Name) and function.id in {"import_module", "__import__"}
    )


class Names:
    """Resolves a name or attribute chain to what was imported under it.

    After `import datetime as dt`, `dt.datetime.now` resolves to `datetime.datetime.now`.
    A builtin resolves to itself. Any other name is the module's own business: a parameter that
    is called `random` is just what the house asks for.
    """

    def __init__(self, tree: ast.AST) -> None:
        self._bound: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._bound[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    self._bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def resolve(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            builtin = node.id if hasattr(builtins, node.id) else None
            return self._bound.get(node.id, builtin)
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value)
            return f"{base}.{node.attr}" if base else None
        return None
