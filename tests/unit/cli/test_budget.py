"""`ralex-monitor budget` on a data directory that no server owns."""

from __future__ import annotations

from tests.support.command_line import CommandLine


def test_budgets_are_set_listed_changed_deleted_and_brought_back(command: CommandLine) -> None:
    assert "No budgets yet" in command("budget", "list").stdout
    assert "No budgets yet" in command("budget", "status").stdout
    made = command("budget", "set", "Team", "--hard", "$5", "--soft", "4", "--model", "gpt-5*", "--json").json()
    budget = made["budget"]
    assert (budget["period"], budget["hard_usd"], budget["soft_usd"]) == ("day", "5", "4")
    assert (budget["scope"], budget["value"], budget["state"]) == ("model", "gpt-5*", "ok")

    changed = command("budget", "set", "team", "--per", "36h", "--soft", "none", "--json").json()["budget"]
    assert changed["id"] == budget["id"]
    assert (changed["period"], changed["rolling_hours"], changed["hard_usd"]) == ("rolling", 36, "5")
    assert (changed["soft_usd"], changed["value"], changed["name"]) == (None, "gpt-5*", "Team")
    assert (
        command("budget", "set", "Team", "--everything", "--per", "month", "--json").json()["budget"]["scope"] == "all"
    )

    listed = command("budget", "list").stdout
    assert [word in listed for word in ("Team", "everything", "month", "$5.00", budget["id"])] == [True] * 5
    (only,) = command("budget", "status", "--json").json()["budgets"]
    assert (only["name"], only["spent_usd"]) == ("Team", "0")
    told = command("budget", "status", "TEAM").stdout
    assert "everything, per month" in told
    assert "within: Too little history" in told

    assert "budget restore " + budget["id"] in command("budget", "delete", "Team", "--yes").stdout
    assert command("budget", "list", "--json").json() == {"budgets": []}
    assert "is back" in command("budget", "restore", budget["id"]).stdout
    assert command("budget", "status", budget["id"], "--json").json()["budget"]["name"] == "Team"


def test_deleting_asks_once(command: CommandLine) -> None:
    command("budget", "set", "Team", "--hard", "5")
    assert command("budget", "delete", "Team").code == 1  # nobody answers
    assert len(command("budget", "list", "--json").json()["budgets"]) == 1


def test_mistakes_are_one_sentence_that_says_what_to_do(command: CommandLine) -> None:
    for arguments, said in (
        (("set", "Team"), "limit: give a soft limit"),
        (("set", "Team", "--hard", "lots"), "Please correct: hard_usd: 'lots' is not a number"),
        (("set", "Team", "--hard", "0"), "a limit is more than 0"),
        (("set", "Team", "--hard", "5", "--soft", "6"), "the soft limit (6) is above the hard one (5)"),
        (("set", "Team", "--hard", "5", "--per", "0h"), "a rolling period is 1 to"),
        (("set", "Team", "--hard", "5", "--timezone", "Mars"), "'Mars' is not an IANA time zone"),
        (("status", "Team"), "There is no budget 'Team'"),
        (("delete", "Team", "--yes"), "There is no budget 'Team'"),
        (("restore", "none"), "No deleted budget 'none' is kept"),
    ):
        assert said in command("budget", *arguments).sentence
    for per in ("fortnight", "rolling"):
        wrong = command("budget", "set", "Team", "--hard", "5", "--per", per)
        assert wrong.code == 2
        assert "or a number of hours such as 36h" in " ".join(wrong.stderr.split())
    assert command("budget", "set", "T", "--hard", "5", "--model", "a", "--user", "b").code == 2


def test_long_names_leave_the_amounts_on_one_line(command: CommandLine) -> None:
    command("budget", "set", "The allowance of the research team", "--hard", "5")
    shown = command("budget", "status").stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].startswith("The allowance of the re…")
    assert "$5.00 per day" in shown[1]
