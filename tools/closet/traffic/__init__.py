"""Packets: what is sent to see what the fabric does with it."""
