"""The client: shows what a daemon measured, on a screen, as lines, or to a Python program."""
