"""Copies that can be trusted: hashed while they are made, verified by reading them back."""
