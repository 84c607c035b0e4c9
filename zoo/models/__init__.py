"""Shapes and options -> an uncompiled functional keras.Model."""
