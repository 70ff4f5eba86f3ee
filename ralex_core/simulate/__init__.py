"""A seeded team using a routed assistant: demo data, and a workload of known truth for tests."""

from ralex_core.simulate.story import Incident
from ralex_core.simulate.team import SessionPlan, Team
from ralex_core.simulate.workload import HISTORY_DAYS, LiveTeam, history, simulate

__all__ = ["HISTORY_DAYS", "Incident", "LiveTeam", "SessionPlan", "Team", "history", "simulate"]
