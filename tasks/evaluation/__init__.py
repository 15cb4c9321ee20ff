"""Hypotheses, metrics, statistics, comparison and leaderboard; pure."""
