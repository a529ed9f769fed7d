"""Tick streams: sessions, order, conflation, resume, drain."""
