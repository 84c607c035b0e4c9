"""Sizes of a browser's window, in pixels."""

DESKTOP, PHONE = (1280, 900), (390, 844)
