"""Ports played by a technology: one file or folder each, none knows another."""
