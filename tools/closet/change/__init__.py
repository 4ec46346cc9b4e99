"""Changing a running lab: from one plan to another, by no more than the difference."""
