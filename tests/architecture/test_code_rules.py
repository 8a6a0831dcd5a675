"""Rules on what our own code may never do, each with the code that it must catch (reliability case S5).

They read the syntax tree, so a comment or a string cannot trip them, and there is no way to switch one off on a line:
what is allowed stands in this file, by place and with its reason.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "attention_core",
    "context",
    "domain",
    "fovea",
    "generation",
    "ingestion",
    "migrations",
    "retrieval",
    "service",
)
FILES = sorted(path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

Rule = Callable[[ast.AST], bool]
RULES: dict[str, tuple[Rule, str]] = {}  # name -> (rule, code that it must find)


def rule(example: str) -> Callable[[Rule], Rule]:
    def add(function: Rule) -> Rule:
        RULES[function.__name__] = function, example
        return function

    return add


def dotted(node: ast.AST) -> str:
    """ "a.b.c" of names and attributes, calls in between left out; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    if isinstance(node, ast.Call):
        return dotted(node.func)
    return node.id if isinstance(node, ast.Name) else ""


def called(node: ast.AST) -> str:
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def keyword(node: ast.AST, name: str) -> ast.expr | None:
    found = [item.value for item in node.keywords if item.arg == name] if isinstance(node, ast.Call) else []
    return found[0] if found else None


def is_false(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and not node.value


UNPICKLERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
    "pandas",
}


@rule("import pickle\nfrom joblib import load")
def reads_pickles(node: ast.AST) -> bool:
    return any(name.split(".")[0] in UNPICKLERS for name in imported(node))


@rule("eval('1')\nexec(code)\n__import__(name)\ncompile(text, '', 'exec')")
def runs_text_as_code(node: ast.AST) -> bool:
    return called(node) in {"eval", "exec", "__import__", "compile", "builtins.eval", "builtins.exec"}


@rule("torch.load(path)\nself._torch.load(path)\nnumpy.load(path, allow_pickle=True)\ntorch.hub.load('a', 'b')")
def loads_tensors_that_can_run(node: ast.AST) -> bool:
    name = called(node)
    if name.endswith("torch.load") or "torch.hub" in name:
        return True
    return keyword(node, "allow_pickle") is not None and not is_false(keyword(node, "allow_pickle"))


@rule("yaml.load(text)\nyaml.unsafe_load(text)")
def loads_yaml_unsafely(node: ast.AST) -> bool:
    return called(node) in {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}


@rule(
    "load(path, trust_remote_code=True)\nload(path, trust_remote_code=wanted)\nload(p, **{'trust_remote_code': True})"
)
def trusts_remote_code(node: ast.AST) -> bool:
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        switched_on = [key for key, value in pairs if isinstance(value, ast.Constant) and value.value]
        return any(isinstance(key, ast.Constant) and key.value == "trust_remote_code" for key in switched_on)
    value = keyword(node, "trust_remote_code")
    return value is not None and not is_false(value)


@rule("subprocess.run(text, shell=True)\nos.system(text)\nos.popen(text)\nsubprocess.getoutput(text)")
def starts_a_shell(node: ast.AST) -> bool:
    shell = keyword(node, "shell")
    names = {
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "asyncio.create_subprocess_shell",
    }
    return called(node) in names or (shell is not None and not is_false(shell))


@rule("text(f'SELECT {name}')\nconnection.execute('DELETE ' + name)\nexecute('%s' % b)\nexecutescript('{}'.format(x))")
def builds_sql_from_strings(node: ast.AST) -> bool:
    last = called(node).rpartition(".")[2]
    if last not in {"text", "execute", "executemany", "executescript", "exec_driver_sql", "literal_column"}:
        return False
    return any(is_built(argument) for argument in node.args[:1])


def is_built(node: ast.AST) -> bool:
    """Whether a string is put together while the program runs."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(value, ast.FormattedValue) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return any(
            isinstance(side, ast.Constant | ast.JoinedStr) and isinstance(getattr(side, "value", ""), str)
            for side in (node.left, node.right)
        )
    return called(node).rpartition(".")[2] == "format"


SECRET = re.compile(
    r"(?:^|_)(?:api_?key|secret|secret_hash|password|passwd|bearer|credential|hmac|signature)(?:s|_digest)?$",
    re.IGNORECASE,
)


@rule("if api_key == given: pass\nok = user.password != given\nfound = secret_hash in (digest,)")
def compares_secrets_in_variable_time(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) and side.value in (None, "", b"") for side in sides):
        return False
    equals = any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
    return equals and any(SECRET.search(dotted(side).rpartition(".")[2]) for side in sides)


BLOCKING = re.compile(
    r"^(?:time\.sleep|open|input|subprocess\..*|os\.(?:fsync|replace|rename|remove|unlink|listdir|walk|stat)"
    r"|socket\.(?:create_connection|getaddrinfo)|requests\..*|httpx\.(?:get|post|stream|request|Client)|shutil\..*"
    r"|.*\.(?:read_text|read_bytes|write_text|write_bytes)|urllib\.request\..*|sqlite3\..*)$"
)


@rule(
    "async def f():\n    time.sleep(1)\nasync def g():\n    with open('x'): pass\nasync def h():\n    path.read_text()"
)
def blocks_the_event_loop(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncFunctionDef) and any(BLOCKING.match(called(inner)) for inner in own_nodes(node))


def own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What runs in the function itself: not in functions that it defines and hands on."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


@rule("import xml.sax\nfrom xml.etree import ElementTree\nimport xml.dom.minidom")
def parses_xml_with_entities(node: ast.AST) -> bool:
    return any(
        name.startswith(("xml.etree", "xml.sax", "xml.dom", "xmlrpc")) and not name.startswith("xml.sax.saxutils")
        for name in imported(node)
    )


@rule("httpx.Client(verify=False)\nssl._create_unverified_context()\nclient.get(url, verify=False)")
def skips_certificates(node: ast.AST) -> bool:
    verify = keyword(node, "verify")
    return called(node).endswith("_create_unverified_context") or (
        isinstance(verify, ast.Constant)
        and verify.value is False
        and "folder" not in called(node)
        and "encoder" not in called(node)
    )


@rule("tempfile.mktemp()\nos.tempnam()")
def names_a_temporary_file_without_making_it(node: ast.AST) -> bool:
    return called(node) in {"tempfile.mktemp", "os.tempnam", "os.tmpnam"}


HTTPX_HOMES = ("fovea/client", "generation/", "ingestion/fetch", "retrieval/embedders/openai_compatible.py")

# (file, rule): how many there may be, and why. A number that grows, or shrinks, is looked at again.
ALLOWED: dict[tuple[str, str], tuple[int, str]] = {
    ("migrations/versions/0001_first_schema.py", "builds_sql_from_strings"): (
        1,
        "names of columns that stand beside it",
    ),
    ("service/storage/database.py", "builds_sql_from_strings"): (3, "PRAGMA takes no parameters; numbers of ours"),
    ("service/storage/transfer.py", "builds_sql_from_strings"): (1, "the name of a table of ours"),
}


def findings(source: str, which: dict[str, tuple[Rule, str]] = RULES) -> list[tuple[str, int]]:
    """(rule, line) of every node that a rule finds."""
    return [
        (name, getattr(node, "lineno", 0))
        for node in ast.walk(ast.parse(source))
        for name, (finds, _) in which.items()
        if finds(node)
    ]


@pytest.mark.parametrize("name", RULES)
def test_s5_each_rule_finds_what_it_is_for(name: str) -> None:
    finds, example = RULES[name]
    lines = {line for _, line in findings(example, {name: (finds, example)})}
    starts = {node.lineno for node in ast.parse(example).body}
    assert lines and len(lines) >= len(starts)


@pytest.mark.parametrize("name", RULES)
def test_s5_our_code_has_no_finding(name: str) -> None:
    which = {name: RULES[name]}
    found = [(str(path), line) for path in FILES for _, line in findings((ROOT / path).read_text(), which)]
    counted = {path: sum(1 for other, _ in found if other == path) for path, _ in found}
    allowed = {path: count for (path, own), (count, _) in ALLOWED.items() if own == name}
    assert counted == allowed, [item for item in found if counted[item[0]] != allowed.get(item[0])]


def test_s5_httpx_is_imported_in_its_homes_alone() -> None:
    used = {
        str(path)
        for path in FILES
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if any(
            name.split(".")[0] in ("httpx", "requests", "urllib3", "aiohttp") or name.startswith("urllib.request")
            for name in imported(node)
        )
    }
    assert used and [path for path in used if not path.startswith(HTTPX_HOMES)] == []


_BLANKET = re.compile(
    r"#\s*(?:noqa(?!:\s?[A-Z])|type:\s*ignore(?!\[)|nosec\b(?!\s+B)|pragma:\s*no cover|ruff:\s*noqa"
    r"|mypy:\s*ignore-errors)"
)


def test_s5_nothing_is_ignored_wholesale() -> None:
    found = []
    for path in FILES:
        for token in tokenize.generate_tokens(io.StringIO((ROOT / path).read_text()).readline):
            if token.type == tokenize.COMMENT and _BLANKET.search(token.string):
                found.append((str(path), token.start[0], token.string))
    assert found == []
    assert all(_BLANKET.search(text) for text in ("x = 1  # noqa", "# type: ignore", "# ruff: noqa: E501"))
    assert not any(_BLANKET.search(text) for text in ("# noqa: E501", "# type: ignore[arg-type]"))


def test_s5_pages_make_no_markup_from_strings() -> None:
    """The same for the scripts of the pages: none turns a string into markup, code or an address to go to."""
    sinks = re.compile(
        r"\.(?:innerHTML|outerHTML|srcdoc)\b|insertAdjacentHTML|document\.write|\beval\s*\(|new Function\b"
        r"|\bimport\s*\("
        r"|setTimeout\s*\(\s*[\"'`]|DOMParser|createContextualFragment|window\.open|\.href\s*=|location\s*="
        r"|location\.(?:assign|replace)"
    )
    scripts = sorted((ROOT / "service" / "web" / "static").glob("*.js"))
    assert len(scripts) >= 8
    found = [(path.name, line) for path in scripts for line in path.read_text().splitlines() if sinks.search(line)]
    assert found == []
    pages = [(ROOT / "service" / "web" / name).read_text() for name in ("chat.html", "docs.html", "widget.html")]
    for page in pages:
        assert not re.search(
            r"\son\w+\s*=|<script(?![^>]*\bsrc=)|<style|\sstyle=|javascript:|https?://(?!www\.w3\.org)", page
        )
