"""What holds for every command: quick help, one sentence for an error, documented exit codes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ralex_core
from ralex_core import __version__
from tests.support.command_line import CommandLine

PACKAGE = Path(ralex_core.__file__).parent
COMMANDS = ("serve", "import", "status", "doctor", "simulate", "backup", "restore")
HEAVY = ("duckdb", "numpy", "sqlalchemy", "fastapi", "uvicorn", "genai_prices", "psutil", "rich.table")


def test_help_names_every_command(command: CommandLine) -> None:
    ran = command("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f"  {name} " in ran.stdout
        assert command(name, "--help").code == 0


def test_version_is_the_package_s(command: CommandLine) -> None:
    assert command("--version").stdout == f"ralex-monitor {__version__}\n"


def test_a_mistyped_command_is_wrong_usage(command: CommandLine) -> None:
    ran = command("sevre")
    assert ran.code == 2
    assert "sevre" in ran.stderr


def test_a_wrong_setting_is_one_sentence(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALEX_MONITOR_PORT", "eighty")
    assert "port" in command("status").sentence


def test_a_data_directory_can_be_an_option(command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text("port = 'x'")
    assert command("status").code == 0
    assert "port" in command("status", "--home", tmp_path / "other").sentence


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from ralex_core.cli import main\n"
        "sys.argv = ['ralex-monitor', 'serve', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_the_first_files_are_readable_for_an_old_python(name: str) -> None:
    ast.parse((PACKAGE / name).read_text(), feature_version=(3, 4))
    assert not any(ord(character) > 127 for character in (PACKAGE / name).read_text()), "Python 2 reads ASCII"


def test_an_old_python_is_told_so_in_one_sentence() -> None:
    """`sys.version_info` is all that is asked, so a program can stand in for an old interpreter's answer."""
    program = (
        "import sys, runpy\n"
        "sys.version_info = (3, 8, 1)\n"
        f"runpy.run_path({str(PACKAGE / '__main__.py')!r}, run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "Ralex Monitor needs Python 3.11 or newer, this is 3.8. Install one and try again.\n"
    assert ran.stdout == ""
