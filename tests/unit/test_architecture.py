"""The rules that hold everywhere: who imports whom, which URLs are public, what every write leaves, what nobody calls."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(settings.BASE_DIR)
APPS = ("opsweb", "instances", "networks")
LONGEST_FILE = 300  # lines


@cache
def modules() -> dict[str, ast.Module]:
    """Path → syntax tree of every module of ours."""
    files = (file for app in APPS for file in (ROOT / app).rglob("*.py") if "migrations" not in file.parts)
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in sorted(files)}


def calls(tree: ast.AST) -> Iterator[str]:
    """What is called, as it is written: `audit.record`, `Instance.objects.get`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def found(pattern: str, *, within: str = "") -> set[str]:
    """`path: call` for each call that matches, in modules whose path starts with `within`."""
    return {
        f"{path}: {call}" for path, tree in modules().items() if path.startswith(within) for call in calls(tree) if re.search(pattern, call)
    }


def test_who_imports_whom() -> None:
    """design.md, "Who may import whom": the contracts of pyproject.toml."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", ["opsweb", "instances", "networks"])
def test_the_packages_themselves_are_empty(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text() == ""


# Everything else is behind LoginRequiredMiddleware. The API has a door of its own: tests/unit/test_matrix.py knocks at each route.
PUBLIC = {"healthz", "sign-in", "admin-sign-in", "teams:join"}


def test_every_url_is_private_unless_it_is_on_the_list() -> None:
    def walk(patterns: list[URLPattern | URLResolver], names: str) -> Iterator[tuple[str, object]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, f"{names}{pattern.namespace}:" if pattern.namespace else names)
            else:
                yield names + (pattern.name or ""), pattern.callback

    assert "django.contrib.auth.middleware.LoginRequiredMiddleware" in settings.MIDDLEWARE
    urls = dict(walk(get_resolver().url_patterns, ""))
    public = {name for name, view in urls.items() if not getattr(view, "login_required", True)}
    # The admin's own two are shadowed: its sign-in by ours, and its catalogue of texts holds no data.
    assert {name for name in public if not name.startswith("api:")} - {"admin:login", "admin:jsi18n"} == PUBLIC
    assert {name for name in urls if name.startswith("api:")} <= public


# Public functions with an `actor` that write no entry of their own, and why.
WITHOUT_ENTRY = {
    "networks/services/forwards.py: set_forwards": "inside the transaction of create and edit, whose entry names the field",
    "networks/services/nics.py: set_nics": "the same",
    "instances/services/bridging.py: create": "the creates of instances and networks, which it calls, leave theirs",
    "instances/services/uploads.py: append": "a chunk; the announcement and the end leave one",
}


SERVICES = ("/services", "opsweb/teams/members.py", "opsweb/teams/invitations.py", "opsweb/teams/lifecycle.py")


def service_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path, tree in modules().items():
        if any(place in path for place in SERVICES):
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and takes_actor(node):
                    yield f"{path}: {node.name}", node


def takes_actor(function: ast.FunctionDef) -> bool:
    return "actor" in {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def written_by(name: str, functions: dict[str, ast.FunctionDef]) -> bool:
    """Whether it, or a function of its module that it calls, writes an entry."""
    called = set(calls(functions[name]))
    return "audit.record" in called or any(written_by(inner, functions) for inner in called & functions.keys() - {name})


def test_every_write_leaves_an_entry() -> None:
    """INV-18."""
    silent = set()
    for label, function in service_functions():
        body = modules()[label.partition(":")[0]].body
        functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        if not written_by(function.name, functions):
            silent.add(label)
    assert silent == set(WITHOUT_ENTRY)


def test_every_write_asks_who_may() -> None:
    """INV-14: a service that takes an actor judges it, unless only the panel itself and the admin's superusers call it."""
    judged = {label for label, function in service_functions() if "access.require" in set(calls(function))}
    rest = {label for label, _ in service_functions()} - judged
    assert rest == {
        "networks/services/forwards.py: set_forwards",  # called by instances.services, which has judged
        "networks/services/nics.py: set_nics",  # the same
        "opsweb/teams/invitations.py: join",  # the link is the right
        "opsweb/teams/invitations.py: join_as_new",  # the same
        "opsweb/teams/services.py: create_token",
        "opsweb/teams/services.py: add_member",
        "opsweb/teams/services.py: give_one_time_password",
    }


def test_only_audit_writes_entries() -> None:
    """INV-18: append only."""
    assert found(r"AuditEntry\.objects\.(create|bulk_create|update|filter.*\.(update|delete))$|AuditEntry$|QuerySet\.|_raw_delete$") == {
        "opsweb/core/audit.py: AuditEntry",
        "opsweb/core/audit.py: QuerySet.delete",
    }


def test_only_events_talks_to_browsers_and_only_queue_to_workers() -> None:
    senders = {line.partition(":")[0] for line in found(r"\.group_send$")}
    assert senders == {"opsweb/core/events.py", "instances/consumers.py"}  # the console tells its own viewers who types
    senders = {line.partition(":")[0] for line in found(r"send_task$|\.apply_async$|\.delay$")}
    assert senders == {"opsweb/core/queue.py", "opsweb/celery.py"}


@pytest.mark.parametrize("within", ["instances/views", "instances/api", "instances/consumers.py", "networks/api"])
def test_doors_fetch_through_access(within: str) -> None:
    """INV-15: a bare `.objects.get` forgets to ask who looks."""
    assert found(r"\.objects\.get$|get_object_or_404$|\.objects\.(create|update|bulk_create)$", within=within) == set()


def test_nobody_starts_a_shell_or_unpickles() -> None:
    """SEC-D1, SEC-A7, INV-12."""
    assert found(r"^(os\.(system|popen)|subprocess\.getoutput|pickle\.loads?|marshal\.loads?|yaml\.load|eval|exec)$") == set()
    shells = {path for path, tree in modules().items() for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "shell"}
    assert shells == set()


def test_nothing_is_marked_safe() -> None:
    """SEC-H2: escaping is nowhere switched off."""
    assert found(r"mark_safe$|SafeString$|format_html_join$") == set()
    templates = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "templates").rglob("*.html")
        if re.search(r"\|\s*safe\b|autoescape off", file.read_text())
    }
    assert templates == set()


@pytest.mark.parametrize("file", sorted((ROOT / "templates").rglob("*.html")), ids=lambda file: file.name)
def test_no_template_has_inline_code(file: Path) -> None:
    """SEC-H3: the policy would block it."""
    text = file.read_text()
    scripts = re.findall(r"<script\b([^>]*)>", text)
    assert all("src=" in script or 'type="application/json"' in script for script in scripts)
    assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=[\"']|javascript:", text)


@pytest.mark.parametrize("path", sorted(modules()))
def test_a_module_says_what_it_is_for_and_stays_short(path: str) -> None:
    tree = modules()[path]
    assert not tree.body or ast.get_docstring(tree), f"{path} opens with no sentence"
    assert len((ROOT / path).read_text().splitlines()) <= LONGEST_FILE
    assert Path(path).stem not in ("utils", "helpers", "misc", "common")


@pytest.mark.parametrize("path", sorted(modules()))
def test_a_public_function_has_a_sentence(path: str) -> None:
    functions = [node for node in modules()[path].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if not node.name.startswith("_") and not ast.get_docstring(node)] == []
