"""The documentation says what is true: every setting, command, field and link."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic.fields import FieldInfo

from ralex_core.cli.app import app as cli_app
from ralex_core.config import Settings, Threshold, Thresholds, load_settings
from ralex_core.model.operation import Operation
from tests.support.repository import ROOT, markdown_files
from tests.support.server import environment, running

DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (DOCS / name).read_text()


# --- settings ----------------------------------------------------------------


def shown_default(name: str, field: FieldInfo) -> str:
    """A default as the table of settings shows it."""
    if name == "home":
        return "`~/.ralex-monitor`"
    if name == "tiers":
        return ", ".join(
            f"{tier.name} ≤ ${tier.max_usd_per_mtok.normalize():f}" if tier.max_usd_per_mtok else tier.name
            for tier in field.default
        )
    if name in ("thresholds", "upstreams", "openrouter"):
        return "see there"
    if field.default is None or field.default == ():
        return "none"
    if isinstance(field.default, tuple):
        return ", ".join(f"`{value}`" for value in field.default)
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description, f"{name} has no description"
    row = f"| `{name}` | {shown_default(name, field)} | {field.description} |"
    assert row in page("operations.md").splitlines(), f"docs/operations.md lacks this row:\n{row}"


@pytest.mark.parametrize("name", Thresholds.model_fields)
def test_every_threshold_is_documented_with_its_levels(name: str) -> None:
    field = Thresholds.model_fields[name]
    at: Threshold = field.default
    levels = f"{at.warn:g} | {at.critical:g} | {at.margin:g} | {at.for_s:g} s, {at.clear_s:g} s"
    row = f"| `{name}` | {field.description} | {levels} |"
    assert row in page("resources.md").splitlines(), f"docs/resources.md lacks this row:\n{row}"


def test_the_example_settings_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALEX_MONITOR_HOME", str(tmp_path))
    example = re.findall(r"^```toml\n(.*?)^```", page("operations.md"), re.MULTILINE | re.DOTALL)
    (tmp_path / "config.toml").write_text("\n".join(example))
    settings = load_settings()
    assert [tier.name for tier in settings.tiers] == ["cheap", "standard", "premium"]
    assert settings.daily_budget_usd == 5


@pytest.mark.parametrize("file", ["README.md", "docs/quickstart.md"])
def test_the_example_of_the_sdk_runs(file: str, tmp_path: Path) -> None:
    example = re.findall(r"^```python\n(.*?)^```", (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)
    assert example
    variables = environment(tmp_path / "home", {"RALEX_MONITOR_SDK": "off"})
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(example)], check=True, env=variables)


# --- commands ----------------------------------------------------------------


def commands() -> dict[str, list[str]]:
    """The long options of every command, by its full name as a person types it."""
    found: dict[str, list[str]] = {}

    def walk(prefix: str, command: Any) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(f"{prefix} {name}", inner)
            return
        shown = [
            parameter for parameter in command.params if parameter.param_type_name == "option" and not parameter.hidden
        ]
        found[prefix] = [name for option in shown for name in option.opts if name.startswith("--") and name != "--help"]

    walk("ralex-monitor", typer.main.get_command(cli_app))
    return found


@pytest.mark.parametrize(("name", "options"), commands().items())
def test_every_command_and_its_options_are_documented(name: str, options: list[str]) -> None:
    text = page("cli.md")
    assert name in text, f"docs/cli.md does not name `{name}`"
    assert [option for option in options if option not in text] == []


# --- data ----------------------------------------------------------------


@pytest.mark.parametrize("name", Operation._fields)
def test_every_field_of_an_operation_is_documented(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`", page("data-model.md"), re.MULTILINE), (
        f"docs/data-model.md has no row for {name}"
    )


@pytest.mark.process
def test_every_path_of_the_api_is_documented(tmp_path: Path) -> None:
    with running(tmp_path / "home") as server:
        paths: dict[str, object] = server.request("GET", "/openapi.json").json()["paths"]
    text = page("api.md")
    assert [path for path in paths if path not in text] == []


# --- pages ----------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def links(file: Path) -> list[str]:
    """Where a page's links and images lead, code blocks aside."""
    text = FENCE.sub("", file.read_text())
    return [first or second for first, second in LINK.findall(text)]


def anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", FENCE.sub("", file.read_text()), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("file", markdown_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(file: Path) -> None:
    broken: list[str] = []
    for link in links(file):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    todo = [DOCS / "index.md"]
    while todo:
        file = todo.pop()
        if file in reached:
            continue
        reached.add(file)
        targets = (
            (file.parent / link.partition("#")[0]).resolve() for link in links(file) if not re.match(r"[a-z]+:", link)
        )
        todo.extend(target for target in targets if target.suffix == ".md" and target.is_file())
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path not in reached} == set()
