"""Findings, measurements and pictures, in the forms people and programs read."""
