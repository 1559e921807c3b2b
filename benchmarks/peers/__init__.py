"""Peers in their own environments, measured beside this service."""
